"""What an ONNX graph computes, in float64, by the definitions of its operators.

In: a ModelProto, arrays by name. Out: arrays by name of its outputs, floats as float64. Shares nothing with winnow and
nothing with onnx.reference, against which make_networks.py compares it. Only what the networks here and ONNX's light
models use: another operator is a KeyError that names it.
"""
import math

import numpy as np
from onnx import helper, numpy_helper


def taps(kernel):
    return np.ndindex(*kernel)


def geometry(node, rank, kernel, extents):
    """Strides, dilations, pads before and after of a convolution or pool."""
    strides = node.get("strides", [1] * rank)
    dilations = node.get("dilations", [1] * rank)
    pads = node.get("pads", [0] * (2 * rank))
    auto = node.get("auto_pad", b"NOTSET").decode()
    if auto.startswith("SAME"):
        total = [max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
                 for n, s, k, d in zip(extents, strides, kernel, dilations)]
        first = [t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in total]
        pads = first + [t - f for t, f in zip(total, first)]
    return strides, dilations, pads[:rank], pads[rank:]


def padded(x, before, after, value):
    return np.pad(x, [(0, 0), (0, 0)] + list(zip(before, after)), constant_values=value)


def shifted(x, tap, strides, dilations, out):
    """The elements that one tap of a window sees, for each place of the output."""
    cut = tuple(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, s, n in zip(tap, dilations, strides, out))
    return x[(slice(None), slice(None)) + cut]


def conv(node, x, w, bias=None):
    rank, groups = x.ndim - 2, node.get("group", 1)
    kernel = w.shape[2:]
    strides, dilations, before, after = geometry(node, rank, kernel, x.shape[2:])
    x = padded(x, before, after, 0)
    out = [(n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(x.shape[2:], kernel, dilations, strides)]
    w = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    y = np.zeros((x.shape[0], groups, w.shape[1], math.prod(out)))
    for tap in taps(kernel):
        seen = shifted(x, tap, strides, dilations, out).reshape(x.shape[0], groups, w.shape[2], -1)
        y += w[(slice(None),) * 3 + tap] @ seen
    y = y.reshape(x.shape[0], -1, *out)
    return y if bias is None else y + bias.reshape(1, -1, *[1] * rank)


def conv_transpose(node, x, w, bias=None):
    rank, groups = x.ndim - 2, node.get("group", 1)
    kernel = w.shape[2:]
    strides, dilations, before, after = geometry(node, rank, kernel, x.shape[2:])
    extra = node.get("output_padding", [0] * rank)
    full = [(n - 1) * s + (k - 1) * d + 1 + e for n, s, k, d, e in zip(x.shape[2:], strides, kernel, dilations, extra)]
    each = w.shape[1]
    w = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    flat = x.reshape(x.shape[0], groups, w.shape[1], -1)
    y = np.zeros((x.shape[0], groups * each, *full))
    for tap in taps(kernel):
        part = np.swapaxes(w[(slice(None),) * 3 + tap], 1, 2) @ flat
        shifted(y, tap, strides, dilations, x.shape[2:])[...] += part.reshape(x.shape[0], -1, *x.shape[2:])
    cut = tuple(slice(b, n - a) for b, a, n in zip(before, after, full))
    y = y[(slice(None), slice(None)) + cut]
    return y if bias is None else y + bias.reshape(1, -1, *[1] * rank)


def pool(node, x, join, empty):
    """join(a, b) over each window; also how many places of each window lie in the image, and in image and padding."""
    rank = x.ndim - 2
    kernel = node["kernel_shape"]
    strides, dilations, before, after = geometry(node, rank, kernel, x.shape[2:])
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    total = [n + b + a - e for n, b, a, e in zip(x.shape[2:], before, after, spans)]
    out = [(t // s) + 1 for t, s in zip(total, strides)]
    if node.get("ceil_mode", 0):
        out = [-(-t // s) + 1 for t, s in zip(total, strides)]
        out = [o - ((o - 1) * s >= n + b) for o, s, n, b in zip(out, strides, x.shape[2:], before)]
    room = [max((o - 1) * s + e - n - b, a) for o, s, e, n, b, a in zip(out, strides, spans, x.shape[2:], before, after)]
    inside = padded(np.ones((1, 1) + x.shape[2:]), before, room, 0)
    counted = padded(np.ones((1, 1) + tuple(n + b + a for n, b, a in zip(x.shape[2:], before, after))), [0] * rank,
                     [r - a for r, a in zip(room, after)], 0)
    x = padded(x, before, room, empty)
    y = np.full(x.shape[:2] + tuple(out), float(empty))
    count = [np.zeros((1, 1) + tuple(out)) for _ in range(2)]
    for tap in taps(kernel):
        y = join(y, shifted(x, tap, strides, dilations, out))
        for c, mask in zip(count, (inside, counted)):
            c += shifted(mask, tap, strides, dilations, out)
    return y, count


def max_pool(node, x):
    return pool(node, x, np.maximum, -np.inf)[0]


def average_pool(node, x):
    total, count = pool(node, x, np.add, 0)
    return total / count[1 if node.get("count_include_pad", 0) else 0]


def gemm(node, a, b, c=None):
    a = a.T if node.get("transA", 0) else a
    b = b.T if node.get("transB", 0) else b
    y = node.get("alpha", 1.0) * (a @ b)
    return y if c is None else y + node.get("beta", 1.0) * c


def channels(v, x):
    return v.reshape(1, -1, *[1] * (x.ndim - 2))


def batch_norm(node, x, scale, bias, mean, var):
    step = channels(scale, x) / np.sqrt(channels(var, x) + node.get("epsilon", 1e-5))
    return (x - channels(mean, x)) * step + channels(bias, x)


def layer_norm(node, x, scale, bias=None):
    axes = tuple(range(node.get("axis", -1) % x.ndim, x.ndim))
    y = x - x.mean(axes, keepdims=True)
    y = y / np.sqrt((y * y).mean(axes, keepdims=True) + node.get("epsilon", 1e-5)) * scale
    return y if bias is None else y + bias


def lrn(node, x):
    size = node["size"]
    low, high = (size - 1) // 2, size // 2
    square = np.pad(x * x, [(0, 0), (low, high), (0, 0), (0, 0)])
    total = sum(square[:, i:i + x.shape[1]] for i in range(size))
    return x / (node.get("bias", 1.0) + node.get("alpha", 1e-4) / size * total) ** node.get("beta", 0.75)


def softmax(node, x):
    """Over one axis since opset 13, over all axes from it before."""
    axis = node.get("axis", -1 if node["opset"] >= 13 else 1)
    if node["opset"] < 13:
        flat = x.reshape(math.prod(x.shape[:axis]), -1)
        return softmax({"axis": 1, "opset": 13}, flat).reshape(x.shape)
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def reduce(f):
    def work(node, x, axes=None):
        axes = node.get("axes") if axes is None else axes.tolist()
        return f(x, axis=None if axes is None else tuple(axes), keepdims=bool(node.get("keepdims", 1)))
    return work


erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu(node, x):
    if node.get("approximate", b"none") == b"tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def clip(node, x, low=None, high=None):
    low = node.get("min") if low is None else low
    high = node.get("max") if high is None else high
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def reshape(node, x, shape):
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape.tolist())])


def flatten(node, x):
    return x.reshape(math.prod(x.shape[:node.get("axis", 1)]), -1)


def squeeze(node, x, axes=None):
    axes = node.get("axes") if axes is None else axes.tolist()
    return np.squeeze(x, None if axes is None else tuple(axes))


def unsqueeze(node, x, axes=None):
    return np.expand_dims(x, tuple(node["axes"] if axes is None else axes.tolist()))


def cut(node, x, starts=None, ends=None, axes=None, steps=None):
    def numbers(v, name, default):
        return v.tolist() if v is not None else node.get(name, default)
    starts, ends = numbers(starts, "starts", None), numbers(ends, "ends", None)
    axes = numbers(axes, "axes", list(range(len(starts))))
    steps = numbers(steps, "steps", [1] * len(starts))
    at = [slice(None)] * x.ndim
    for axis, begin, end, step in zip(axes, starts, ends, steps):
        at[axis] = slice(begin, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(at)]


def split(node, x, sizes=None):
    axis = node.get("axis", 0)
    sizes = node.get("split") if sizes is None else sizes.tolist()
    if sizes is None:
        each = -(-x.shape[axis] // node["outputs"])
        sizes = [each] * (node["outputs"] - 1)
    else:
        sizes = sizes[:-1]
    return tuple(np.split(x, np.cumsum(sizes), axis))


def pad(node, x, pads=None, value=None, axes=None):
    pads = node["pads"] if pads is None else pads.tolist()
    mode = node.get("mode", b"constant").decode()
    pairs = list(zip(pads[:x.ndim], pads[x.ndim:]))
    if mode == "constant":
        return np.pad(x, pairs, constant_values=node.get("value", 0.0) if value is None else value)
    return np.pad(x, pairs, mode=mode)


def source_places(mode, n, out, scale):
    """Where in an axis of n elements each of `out` results lies."""
    o = np.arange(out)
    if mode == "align_corners":
        return o * (n - 1) / max(out - 1, 1)
    if mode == "asymmetric":
        return o / scale
    if mode == "pytorch_half_pixel" and out == 1:
        return np.zeros(1)
    return (o + 0.5) / scale - 0.5


def resize(node, x, *more):
    """Upsample-7 and -9, Resize-10 (scales) and Resize-11 on (roi, scales, sizes)."""
    scales = node.get("scales")
    sizes = None
    if node["opset"] >= 11:
        scales = more[1] if len(more) > 1 and more[1] is not None and more[1].size else None
        sizes = more[2].tolist() if len(more) > 2 and more[2] is not None else None
    elif more:
        scales = more[0]
    if sizes is None:
        sizes = [int(math.floor(n * s)) for n, s in zip(x.shape, np.asarray(scales).tolist())]
        scales = np.asarray(scales, np.float64).tolist()
    else:
        scales = [o / n for o, n in zip(sizes, x.shape)]
    where = node.get("coordinate_transformation_mode", b"half_pixel").decode() if node["opset"] >= 11 else "asymmetric"
    mode, round_by = node.get("mode", b"nearest"), node.get("nearest_mode", b"round_prefer_floor").decode()
    round_by = round_by if node["opset"] >= 11 else "floor"
    for axis, (n, out, scale) in enumerate(zip(x.shape, sizes, scales)):
        if n == out and scale == 1:
            continue
        at = source_places(where, n, out, scale)
        if mode == b"nearest":
            near = {"floor": np.floor, "ceil": np.ceil, "round_prefer_floor": lambda p: np.ceil(p - 0.5),
                    "round_prefer_ceil": lambda p: np.floor(p + 0.5)}[round_by](at)
            x = np.take(x, np.clip(near, 0, n - 1).astype(int), axis)
            continue
        low = np.floor(at).astype(int)
        part = (at - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        x = (np.take(x, np.clip(low, 0, n - 1), axis) * (1 - part) +
             np.take(x, np.clip(low + 1, 0, n - 1), axis) * part)
    return x


def depth_to_space(node, x):
    n, c, h, w = x.shape
    b = node["blocksize"]
    if node.get("mode", b"DCR") == b"CRD":
        return x.reshape(n, c // b ** 2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, -1, h * b, w * b)
    return x.reshape(n, b, b, c // b ** 2, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(n, -1, h * b, w * b)


def constant_of_shape(node, shape):
    value = node.get("value", np.zeros(1, np.float32))
    return np.broadcast_to(widen(value.reshape(())), tuple(shape.tolist()))


def constant(node):
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in node:
            return widen(np.asarray(node[name]))
    raise KeyError("Constant of another kind")


def cast(node, x):
    dtype = helper.tensor_dtype_to_np_dtype(node["to"])
    return widen(x.astype(dtype))


def divide(node, a, b):
    if np.issubdtype(a.dtype, np.integer):
        return np.trunc(a / b).astype(a.dtype)
    return a / b


def total(node, *x):
    y = x[0]
    for more in x[1:]:
        y = y + more
    return y


def prelu(node, x, slope):
    return np.where(x < 0, x * slope, x)


OPERATORS = {
    "Conv": conv, "ConvTranspose": conv_transpose, "MaxPool": max_pool, "AveragePool": average_pool, "Gemm": gemm,
    "MatMul": lambda n, a, b: a @ b, "BatchNormalization": batch_norm, "LayerNormalization": layer_norm, "LRN": lrn,
    "GlobalAveragePool": lambda n, x: x.mean(tuple(range(2, x.ndim)), keepdims=True),
    "GlobalMaxPool": lambda n, x: x.max(tuple(range(2, x.ndim)), keepdims=True),
    "Softmax": softmax, "ReduceMean": reduce(np.mean), "ReduceSum": reduce(np.sum), "ReduceMax": reduce(np.max),
    "Relu": lambda n, x: np.maximum(x, 0), "Sigmoid": lambda n, x: 1 / (1 + np.exp(-x)), "Tanh": lambda n, x: np.tanh(x),
    "Erf": lambda n, x: erf(x), "Gelu": gelu, "Clip": clip, "PRelu": prelu, "Exp": lambda n, x: np.exp(x),
    "LeakyRelu": lambda n, x: np.where(x < 0, n.get("alpha", 0.01) * x, x), "Sqrt": lambda n, x: np.sqrt(x),
    "HardSigmoid": lambda n, x: np.clip(n.get("alpha", 0.2) * x + n.get("beta", 0.5), 0, 1),
    "HardSwish": lambda n, x: x * np.clip(x / 6 + 0.5, 0, 1), "Neg": lambda n, x: -x, "Abs": lambda n, x: np.abs(x),
    "Reciprocal": lambda n, x: 1 / x, "Floor": lambda n, x: np.floor(x), "Pow": lambda n, a, b: a ** b,
    "Add": lambda n, a, b: a + b, "Sub": lambda n, a, b: a - b, "Mul": lambda n, a, b: a * b, "Div": divide,
    "Max": lambda n, *x: np.maximum.reduce(x), "Min": lambda n, *x: np.minimum.reduce(x), "Sum": total,
    "Equal": lambda n, a, b: a == b, "Where": lambda n, c, a, b: np.where(c, a, b), "Identity": lambda n, x: x,
    "Concat": lambda n, *x: np.concatenate(x, n["axis"]), "Reshape": reshape, "Flatten": flatten, "Squeeze": squeeze,
    "Unsqueeze": unsqueeze, "Slice": cut, "Split": split, "Pad": pad, "Resize": resize, "Upsample": resize,
    "Transpose": lambda n, x: x.transpose(n.get("perm", list(range(x.ndim))[::-1])), "DepthToSpace": depth_to_space,
    "Shape": lambda n, x: np.array(x.shape[n.get("start", 0):n.get("end")], np.int64),
    "Gather": lambda n, x, i: np.take(x, i, n.get("axis", 0)), "Expand": lambda n, x, s: x * np.ones(s, x.dtype),
    "Range": lambda n, a, b, c: np.arange(a, b, c), "ConstantOfShape": constant_of_shape, "Constant": constant,
    "Cast": cast, "Dropout": lambda n, x, *more: (x, np.ones(x.shape, bool)),
}


def widen(x):
    return x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x


def attributes(node, opset):
    found = {"opset": opset, "outputs": len(node.output)}
    for a in node.attribute:
        value = helper.get_attribute_value(a)
        found[a.name] = numpy_helper.to_array(value) if a.type == a.TENSOR else value
    return found


def evaluate(model, inputs):
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    functions = {(f.domain, f.name): f for f in model.functions}
    values = {t.name: widen(numpy_helper.to_array(t)) for t in model.graph.initializer}
    values.update({name: widen(np.asarray(x)) for name, x in inputs.items()})
    run_nodes(model.graph.node, values, opset, functions)
    return {o.name: np.asarray(values[o.name]) for o in model.graph.output}


def run_nodes(nodes, values, opset, functions):
    for node in nodes:
        given = [values[name] if name else None for name in node.input]
        function = functions.get((node.domain, node.op_type))
        if function is not None:
            inner = dict(zip(function.input, given))
            run_nodes(function.node, inner, opset, functions)
            made = tuple(inner[name] for name in function.output)
        else:
            with np.errstate(over="ignore"):
                made = OPERATORS[node.op_type](attributes(node, opset), *given)
        for name, value in zip(node.output, made if isinstance(made, tuple) else (made,)):
            values[name] = value
