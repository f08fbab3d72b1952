"""Writes networks as people's exporters do: the same layers, spelled in one of several ways.

In: calls of layers. Out: a ModelProto with weights drawn from the network's seed, scaled so that values stay near 1.
Spellings:
  script  PyTorch's TorchScript exporter: names with slashes, numbers in Constant nodes, repeated weights through
          Identity, shapes computed by Shape, Gather, Unsqueeze and Concat, GELU by Erf, layer norms node by node
  dynamo  PyTorch's newer one: opset 20, ReduceMean and Split with inputs, Gelu and LayerNormalization, names val_7
  old     exporters of 2017 to 2020, opset 7, 9 or 11: weights are inputs as well, BatchNormalization with a momentum,
          Clip, Unsqueeze, Slice and Squeeze with attributes, Upsample, Dropout with two outputs
  simple  what onnx-simplifier leaves of script: every number and shape an initializer
Whether batch normalisation behind a convolution stays is the spelling's, unless `norms` says so.
"""
import math
import zlib

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

OPSETS = {"script": 17, "simple": 17, "dynamo": 20, "old7": 7, "old9": 9, "old11": 11}


class Value:
    """A name, and what is known of it while the network is written."""

    def __init__(self, name, shape):
        self.name, self.shape = name, tuple(shape)


class Network:
    def __init__(self, name, spelling, norms=None):
        self.name, self.spelling, self.norms = name, spelling, norms
        self.opset = OPSETS[spelling]
        self.old = spelling.startswith("old")
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.count, self.shared = 0, {}
        self.path = ["net"]

    # --- parts -------------------------------------------------------------------------------------------------------

    def node(self, op, inputs, shape, outputs=1, **attributes):
        """shape: of the output, or a list of them."""
        self.count += 1
        if self.spelling == "dynamo":
            label, names = f"node_{op}_{self.count}", [f"val_{self.count}_{i}" for i in range(outputs)]
        elif not self.old:
            label = "/" + "/".join(self.path) + f"/{op}_{self.count}"
            names = [f"{label}_output_{i}" for i in range(outputs)]
        else:
            label, names = "", [str(1000 + 10 * self.count + i) for i in range(outputs)]
        names_in = [i.name if isinstance(i, Value) else i for i in inputs]
        self.nodes.append(helper.make_node(op, names_in, names, name=label, **attributes))
        made = [Value(n, s) for n, s in zip(names, shape if outputs > 1 else [shape])]
        return made if outputs > 1 else made[0]

    def weight(self, array, label="weight"):
        """An initializer; script's come a second time as Identity nodes, as tied weights do."""
        array = np.asarray(array)
        name = f"{'.'.join(self.path)}.{label}_{len(self.weights)}"
        if self.spelling == "script" and array.ndim == 1:
            first = self.shared.setdefault((array.tobytes(), array.dtype.str), name)
            if first != name:
                return self.node("Identity", [first], array.shape)
        self.weights.append(numpy_helper.from_array(array, name))
        return Value(name, array.shape)

    def number(self, array):
        """A constant of the arithmetic: an initializer in simple, dynamo and old7, else in a Constant node."""
        array = np.array(array)
        array = array.astype(np.int64 if np.issubdtype(array.dtype, np.integer) else np.float32)
        if self.spelling in ("simple", "dynamo") or self.opset < 9:
            return self.weight(array, "scalar")
        return self.node("Constant", [], array.shape, value=numpy_helper.from_array(array))

    def normal(self, *shape, scale=1.0):
        return self.random.standard_normal(shape, np.float32) * np.float32(scale)

    def input(self, name, *shape):
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return Value(name, shape)

    def output(self, x, name):
        for node in self.nodes:
            for i, output in enumerate(node.output):
                if output == x.name:
                    node.output[i] = name
            for i, given in enumerate(node.input):
                if given == x.name:
                    node.input[i] = name
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape))

    def model(self):
        inputs = list(self.inputs)
        if self.old:  # IR version 3 wants it so
            inputs += [helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in self.weights]
        graph = helper.make_graph(self.nodes, self.name, inputs, self.outputs, self.weights)
        ir = {"script": 8, "simple": 8, "dynamo": 9}.get(self.spelling, 3 if self.opset == 7 else 4)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=ir,
                                  producer_name="winnow-networks", producer_version=self.spelling)
        checker.check_model(model, full_check=True)
        return model

    # --- elementwise -------------------------------------------------------------------------------------------------

    def unary(self, op, x, **attributes):
        return self.node(op, [x], x.shape, **attributes)

    def binary(self, op, a, b):
        return self.node(op, [a, b], np.broadcast_shapes(a.shape, b.shape))

    def relu(self, x):
        return self.unary("Relu", x)

    def clip(self, x, low, high):
        if self.opset < 11:
            return self.unary("Clip", x, min=float(low), max=float(high))
        return self.node("Clip", [x, self.number(float(low)), self.number(float(high))], x.shape)

    def silu(self, x):
        return self.binary("Mul", x, self.unary("Sigmoid", x))

    def hard_swish(self, x):
        if self.spelling == "dynamo":
            return self.unary("HardSwish", x)
        return self.binary("Mul", x, self.unary("HardSigmoid", x, alpha=1 / 6, beta=0.5))

    def gelu(self, x):
        if self.spelling == "dynamo":
            return self.unary("Gelu", x)
        half = self.unary("Erf", self.binary("Div", x, self.number(math.sqrt(2))))
        half = self.binary("Mul", x, self.binary("Add", half, self.number(1.0)))
        return self.binary("Mul", half, self.number(0.5))

    def prelu(self, x):
        slope = self.weight(np.abs(self.normal(x.shape[1], *[1] * (len(x.shape) - 2), scale=0.25)), "slope")
        return self.node("PRelu", [x, slope], x.shape)

    def dropout(self, x):
        if self.old:
            return self.node("Dropout", [x], [x.shape] * 2, outputs=2, ratio=0.5)[0]
        return self.node("Identity", [x], x.shape) if self.spelling == "script" else x

    # --- layers ------------------------------------------------------------------------------------------------------

    def conv(self, x, out, kernel=3, stride=1, groups=1, pad=None, dilation=1, bias=True, gain=1.0):
        """gain: below 1 for what is added to its own input, block by block."""
        rank, c = len(x.shape) - 2, x.shape[1]
        pad = (kernel - 1) * dilation // 2 if pad is None else pad
        fan = kernel ** rank * c // groups
        given = [x, self.weight(self.normal(out, c // groups, *[kernel] * rank, scale=gain * math.sqrt(2 / fan)))]
        if bias:
            given.append(self.weight(self.normal(out, scale=0.1), "bias"))
        size = [(n + 2 * pad - (kernel - 1) * dilation - 1) // stride + 1 for n in x.shape[2:]]
        attributes = dict(kernel_shape=[kernel] * rank, strides=[stride] * rank, pads=[pad] * (2 * rank),
                          group=groups, dilations=[dilation] * rank)
        return self.node("Conv", given, (x.shape[0], out, *size), **attributes)

    def conv_transpose(self, x, out, kernel=2, stride=2, pad=0):
        rank, c = len(x.shape) - 2, x.shape[1]
        scale = math.sqrt(2 * stride ** rank / (kernel ** rank * c))
        w = self.weight(self.normal(c, out, *[kernel] * rank, scale=scale))
        size = [(n - 1) * stride + kernel - 2 * pad for n in x.shape[2:]]
        return self.node("ConvTranspose", [x, w, self.weight(self.normal(out, scale=0.1), "bias")],
                         (x.shape[0], out, *size), kernel_shape=[kernel] * rank, strides=[stride] * rank,
                         pads=[pad] * (2 * rank))

    def batch_norm(self, x):
        c = x.shape[1]
        parts = [1 + self.normal(c, scale=0.1), self.normal(c, scale=0.1), self.normal(c, scale=0.2),
                 np.abs(1 + self.normal(c, scale=0.1))]
        given = [x] + [self.weight(p, n) for p, n in zip(parts, ("gamma", "beta", "mean", "var"))]
        more = {"momentum": 0.9} if self.old else {}
        return self.node("BatchNormalization", given, x.shape, epsilon=1e-5, **more)

    def unit(self, x, out, kernel=3, stride=1, groups=1, act="relu", gain=1.0):
        """Convolution, normalisation where exporters leave it, activation."""
        keep = self.old or self.spelling == "dynamo" and out % 16 == 0
        keep = keep if self.norms is None else self.norms
        x = self.conv(x, out, kernel, stride, groups, bias=not keep, gain=gain)
        x = self.batch_norm(x) if keep else x
        return getattr(self, act)(x) if act else x

    def relu6(self, x):
        return self.clip(x, 0, 6)

    def linear(self, x, out, gain=1.0):
        w = self.normal(out, x.shape[-1], scale=gain * math.sqrt(1 / x.shape[-1]))
        bias = self.weight(self.normal(out, scale=0.1), "bias")
        if len(x.shape) == 2:
            return self.node("Gemm", [x, self.weight(w), bias], (x.shape[0], out), alpha=1.0, beta=1.0, transB=1)
        y = self.node("MatMul", [x, self.weight(w.T.copy())], (*x.shape[:-1], out))
        return self.binary("Add", bias, y)

    def pool(self, x, kind, kernel, stride, pad=0, **more):
        size = [(n + 2 * pad - kernel) // stride + 1 for n in x.shape[2:]]
        rank = len(size)
        return self.node(kind + "Pool", [x], (*x.shape[:2], *size), kernel_shape=[kernel] * rank,
                         strides=[stride] * rank, pads=[pad] * (2 * rank), **more)

    def reduce(self, op, x, axes, keep=True):
        """ReduceMean and ReduceMax: axes are an input since opset 18."""
        shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes]
        back = [a - len(x.shape) for a in axes]
        if self.opset >= 18:
            return self.node(op, [x, self.number(back)], shape, keepdims=int(keep))
        return self.node(op, [x], shape, axes=back if self.opset >= 11 else list(axes), keepdims=int(keep))

    def mean(self, x, axes):
        return self.reduce("ReduceMean", x, axes)

    def global_mean(self, x):
        if self.spelling == "dynamo":
            return self.mean(x, list(range(2, len(x.shape))))
        return self.node("GlobalAveragePool", [x], (*x.shape[:2], *[1] * (len(x.shape) - 2)))

    def layer_norm(self, x):
        c = x.shape[-1]
        scale = self.weight(1 + self.normal(c, scale=0.1), "gamma")
        bias = self.weight(self.normal(c, scale=0.1), "beta")
        if self.spelling == "dynamo":
            return self.node("LayerNormalization", [x, scale, bias], x.shape, axis=-1, epsilon=1e-6)
        last = [len(x.shape) - 1]
        y = self.binary("Sub", x, self.mean(x, last))
        var = self.mean(self.binary("Pow", y, self.number(2.0)), last)
        var = self.unary("Sqrt", self.binary("Add", var, self.number(1e-6)))
        y = self.binary("Div", y, var)
        return self.binary("Add", self.binary("Mul", y, scale), bias)

    # --- movement ----------------------------------------------------------------------------------------------------

    def transpose(self, x, *perm):
        return self.node("Transpose", [x], [x.shape[p] for p in perm], perm=perm)

    def concat(self, parts, axis=1):
        shape = list(parts[0].shape)
        shape[axis] = sum(p.shape[axis] for p in parts)
        return self.node("Concat", parts, shape, axis=axis)

    def unsqueeze(self, x, axes, shape):
        if self.opset < 13:
            return self.node("Unsqueeze", [x], shape, axes=axes)
        return self.node("Unsqueeze", [x, self.number(axes)], shape)

    def extent(self, x, axis):
        """x.size(axis), as script computes it: an int64[1]."""
        shape = self.node("Shape", [x], (len(x.shape),))
        one = self.node("Gather", [shape, self.number(axis)], (), axis=0)
        return self.unsqueeze(one, [0], (1,))

    def reshape(self, x, *shape):
        """view(...): script takes the first extent from its input."""
        if -1 in shape:
            rest = -math.prod(shape)
            known = [math.prod(x.shape) // rest if n == -1 else n for n in shape]
        else:
            known = shape
        if self.spelling == "dynamo":
            return self.node("Reshape", [x, self.number(known)], known, allowzero=1)
        if self.spelling in ("simple", "old7"):
            return self.node("Reshape", [x, self.number(known if self.spelling == "simple" else shape)], known)
        parts = [self.extent(x, 0)] + [self.number([n]) for n in shape[1:]]
        return self.node("Reshape", [x, self.concat(parts, 0)], known)

    def flatten(self, x):
        if self.spelling == "dynamo":
            return self.reshape(x, x.shape[0], -1)
        return self.node("Flatten", [x], (x.shape[0], math.prod(x.shape[1:])), axis=1)

    def split(self, x, parts, axis=1):
        n = x.shape[axis] // parts
        shape = list(x.shape)
        shape[axis] = n
        if self.opset >= 18:
            return self.node("Split", [x], [shape] * parts, outputs=parts, axis=axis, num_outputs=parts)
        if self.opset >= 13:
            return self.node("Split", [x, self.number([n] * parts)], [shape] * parts, outputs=parts, axis=axis)
        return self.node("Split", [x], [shape] * parts, outputs=parts, axis=axis, split=[n] * parts)

    def slice(self, x, axis, begin, end):
        shape = list(x.shape)
        shape[axis] = end - begin
        if self.opset < 10:
            return self.node("Slice", [x], shape, axes=[axis], starts=[begin], ends=[end])
        given = [x] + [self.number([n]) for n in (begin, end, axis, 1)]
        return self.node("Slice", given, shape)

    def pad(self, x, size):
        """Zeros around an image up to this size, the odd one behind; at sizes that are known nothing where it has it."""
        more = [to - n for to, n in zip(size, x.shape[2:])]
        if not any(more):
            return x
        pads = [0, 0] + [m // 2 for m in more] + [0, 0] + [m - m // 2 for m in more]
        shape = (*x.shape[:2], *size)
        if self.opset < 11:
            return self.node("Pad", [x], shape, pads=pads, mode="constant")
        return self.node("Pad", [x, self.number(pads)], shape)

    def upsample(self, x, factor, mode="nearest"):
        """By a whole number, as nn.Upsample and interpolate come out."""
        shape = [*x.shape[:2], *[n * factor for n in x.shape[2:]]]
        scales = [1.0, 1.0] + [float(factor)] * (len(shape) - 2)
        if self.opset < 9:
            return self.node("Upsample", [x], shape, scales=scales, mode=mode)
        if self.opset == 9:
            return self.node("Upsample", [x, self.number(scales)], shape, mode=mode)
        where = "half_pixel" if mode == "linear" else "asymmetric"
        more = dict(mode=mode, coordinate_transformation_mode=where, nearest_mode="floor")
        if self.opset == 11:  # by sizes, computed
            sizes = []
            for axis in range(2, len(shape)):
                size = self.node("Mul", [self.extent(x, axis), self.number([factor])], (1,))
                sizes.append(size)
            head = self.slice(self.node("Shape", [x], (len(shape),)), 0, 0, 2)
            size = self.concat([head] + sizes, 0)
            nothing = self.weight(np.zeros(0, np.float32), "roi")
            return self.node("Resize", [x, nothing, nothing, size], shape, **more)
        return self.node("Resize", [x, "", self.number(scales)], shape, **more)

    def depth_to_space(self, x, b):
        n, c, h, w = x.shape
        if self.opset >= 11:
            return self.node("DepthToSpace", [x], (n, c // b ** 2, h * b, w * b), blocksize=b, mode="CRD")
        x = self.reshape(x, n, c // b ** 2, b, b, h, w)
        return self.reshape(self.transpose(x, 0, 1, 4, 2, 5, 3), n, c // b ** 2, h * b, w * b)

    def softmax(self, x, axis=-1):
        if self.opset >= 13 or axis in (-1, len(x.shape) - 1):
            axis = axis if self.opset >= 11 else len(x.shape) - 1
            return self.unary("Softmax", x, axis=axis)
        perm = [i for i in range(len(x.shape)) if i != axis] + [axis]
        y = self.unary("Softmax", self.transpose(x, *perm), axis=len(x.shape) - 1)
        return self.transpose(y, *np.argsort(perm).tolist())
