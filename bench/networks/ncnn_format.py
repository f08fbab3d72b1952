"""Networks in ncnn's format, as ONNX.

In: the text of a .param file, the bytes of its .bin, the shape of the input. Out: a ModelProto that computes the same.
The layers are those that enlargers of pictures are made of; another one, or a parameter that is not read here, is an
error that names it.
The format: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure
"""
import math

import numpy as np

from exporter import Network

MAGIC = "7767517"
FLOAT16 = 0x01306B47  # the tag before weights of a convolution; 0 is float32
OUT, KERNEL, DILATION, STRIDE, PAD, BIAS, WEIGHTS, ACTIVATION, SLOPES, SCALES = 0, 1, 2, 3, 4, 5, 6, 9, -23310, -23301


class Weights:
    """The .bin file, from its begin to its end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count, dtype="<f4"):
        size = count * np.dtype(dtype).itemsize
        if self.at + size > len(self.data):
            raise ValueError(f"weights end at byte {len(self.data)}, and {size} more are wanted at {self.at}")
        found = np.frombuffer(self.data, dtype, count, self.at)
        self.at += -(-size // 4) * 4
        return found.astype(np.float32)

    def take_tagged(self, count):
        if self.at + 4 > len(self.data):
            raise ValueError(f"weights end at byte {len(self.data)}, and a tag is wanted at {self.at}")
        tag = int.from_bytes(self.data[self.at:self.at + 4], "little")
        self.at += 4
        if tag not in (0, FLOAT16):
            raise ValueError(f"weights with the tag {tag:#x}, which are neither float32 nor float16")
        return self.take(count, "<f2" if tag else "<f4")


class Layer:
    """A line of the .param file: kind, name, values that it reads and makes, and numbers by key, each taken once."""

    def __init__(self, line):
        words = line.split()
        self.kind, self.name, reads, makes = words[0], words[1], int(words[2]), int(words[3])
        self.reads, self.makes = words[4:4 + reads], words[4 + reads:4 + reads + makes]
        self.numbers = dict(word.split("=") for word in words[4 + reads + makes:])
        self.numbers = {int(key): value for key, value in self.numbers.items()}

    def number(self, key, default=0):
        return float(self.numbers.pop(key, default))

    def whole(self, key, default=0):
        return int(self.number(key, default))

    def list(self, key):
        return [float(v) for v in self.numbers.pop(key, "0").split(",")[1:]]


def activation(n, x, layer):
    kind, slopes = layer.whole(ACTIVATION), layer.list(SLOPES)
    if kind == 0:
        return x
    if kind == 1:
        return n.relu(x)
    if kind == 2:
        return n.unary("LeakyRelu", x, alpha=slopes[0])
    raise ValueError(f"{layer.kind} {layer.name}: no conversion for activation {kind}")


def convolution(n, layer, weights, x):
    """Also Deconvolution. Square filters; weights are [out][in][h][w] of both."""
    up = layer.kind == "Deconvolution"
    out, kernel, channels = layer.whole(OUT), layer.whole(KERNEL), x.shape[1]
    stride, dilation, pad = layer.whole(STRIDE, 1), layer.whole(DILATION, 1), layer.whole(PAD)
    w = weights.take_tagged(layer.whole(WEIGHTS)).reshape(out, channels, kernel, kernel)
    given = [x, n.weight(w.transpose(1, 0, 2, 3).copy() if up else w)]
    if layer.whole(BIAS):
        given.append(n.weight(weights.take(out), "bias"))
    reach = (kernel - 1) * dilation + 1
    size = [(v - 1) * stride + reach - 2 * pad if up else (v + 2 * pad - reach) // stride + 1 for v in x.shape[2:]]
    y = n.node("ConvTranspose" if up else "Conv", given, (x.shape[0], out, *size), kernel_shape=[kernel] * 2,
               strides=[stride] * 2, dilations=[dilation] * 2, pads=[pad] * 4)
    return activation(n, y, layer)


def prelu(n, layer, weights, x):
    return n.node("PRelu", [x, n.weight(weights.take(layer.whole(0)).reshape(-1, 1, 1), "slope")], x.shape)


def enlarge(n, layer, x):
    """Interp: 1 is by nearest neighbours, whose factors are whole numbers here."""
    mode, h, w = layer.whole(0), layer.number(1, 1), layer.number(2, 1)
    if mode != 1 or h != w or h != math.floor(h):
        raise ValueError(f"Interp {layer.name}: no conversion for mode {mode} by {h:g} and {w:g}")
    return n.upsample(x, int(h))


def add(n, layer, a, b):
    """BinaryOp 0, and Eltwise 1, which multiplies each by a number before."""
    scales = layer.list(SCALES) or [1.0, 1.0]
    if layer.whole(0) != (0 if layer.kind == "BinaryOp" else 1) or a.shape != b.shape:
        raise ValueError(f"{layer.kind} {layer.name}: no conversion for anything but sums of equal shapes")
    a, b = (x if s == 1 else n.binary("Mul", x, n.number(s)) for x, s in zip((a, b), scales))
    return n.binary("Add", a, b)


def convert_layer(n, layer, weights, given):
    if layer.kind in ("Convolution", "Deconvolution"):
        return convolution(n, layer, weights, *given)
    if layer.kind == "PReLU":
        return prelu(n, layer, weights, *given)
    if layer.kind == "PixelShuffle":
        return n.depth_to_space(*given, layer.whole(0))
    if layer.kind == "Interp":
        return enlarge(n, layer, *given)
    if layer.kind == "Concat":
        return n.concat(given, 1 + layer.whole(0))
    if layer.kind in ("BinaryOp", "Eltwise") and len(given) == 2:
        return add(n, layer, *given)
    if layer.kind == "Split":
        return given[0]
    raise ValueError(f"{layer.name}: no conversion for {layer.kind} with {len(given)} inputs")


def convert(name, text, data, shape):
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or lines[0].strip() != MAGIC:
        raise ValueError("not a .param file of ncnn")
    n, weights, values, read = Network(name, "simple"), Weights(data), {}, set()
    for line in lines[2:]:
        layer = Layer(line)
        if layer.kind == "Input":  # its numbers are the size that the maker had in mind
            y = n.input("image", *shape)
        else:
            y = convert_layer(n, layer, weights, [values[v] for v in layer.reads])
            if layer.numbers:
                raise ValueError(f"{layer.kind} {layer.name}: no conversion for its parameters {sorted(layer.numbers)}")
        values.update({made: y for made in layer.makes})
        read.update(layer.reads)
    if weights.at != len(data):
        raise ValueError(f"{len(data) - weights.at} bytes of weights are left over")
    ends = [v for v in values if v not in read]
    if len(ends) != 1:
        raise ValueError(f"{len(ends)} outputs, where one is wanted")
    n.output(values[ends[0]], "output")
    return n.model()
