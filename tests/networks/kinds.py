"""Kinds of networks, each a function of a Network (exporter.py), which it fills, and of Sizes.

In: an empty Network, and the sizes of channels, pixels and blocks. Out: its inputs, layers and outputs. How layers are
spelled is the Network's; small ones have all layers of the large ones, with few channels, on small images.
"""
import numpy as np


class Sizes:
    """width(c): channels; size(n): pixels; depth(n): blocks."""

    def __init__(self, small):
        self.small = small

    def width(self, c):
        return max(c // 16, 4) if self.small else c

    def size(self, n):
        return max(n // 8 // 8 * 8, 16) if self.small else n

    def depth(self, n):
        return min(n, 1) if self.small else n


def classify(n, x, classes):
    n.path = ["net", "fc"]
    x = n.dropout(n.flatten(n.global_mean(x)))
    n.output(n.linear(x, classes), "logits")


def stem(n, s, out, size=224):
    x = n.input("image", 1, 3, s.size(size), s.size(size))
    x = n.unit(x, out, 7, 2)
    return n.pool(x, "Max", 3, 2, 1)


def shortcut(n, x, y, stride):
    return x if x.shape == y.shape else n.unit(x, y.shape[1], 1, stride, act=None)


def residual(n, s):
    x = stem(n, s, s.width(64))
    for stage, c in enumerate((64, 128, 256, 512)):
        for block in range(1 + s.depth(1)):
            n.path = ["net", f"layer{stage + 1}", f"{block}"]
            stride = 2 if stage > 0 and block == 0 else 1
            y = n.unit(n.unit(x, s.width(c), 3, stride), s.width(c), 3, act=None, gain=0.3)
            x = n.relu(n.binary("Add", y, shortcut(n, x, y, stride)))
    classify(n, x, 1000 if not s.small else 10)


def bottleneck(n, s):
    x = stem(n, s, s.width(64))
    for stage, (c, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(s.depth(blocks)):
            n.path = ["net", f"layer{stage + 1}", f"{block}"]
            stride = 2 if stage > 0 and block == 0 else 1
            y = n.unit(n.unit(x, s.width(c), 1), s.width(c), 3, stride)
            y = n.unit(y, 4 * s.width(c), 1, act=None, gain=0.3)
            x = n.relu(n.binary("Add", y, shortcut(n, x, y, stride)))
    classify(n, x, 1000 if not s.small else 10)


def depthwise(n, s):
    x = n.input("image", 1, 3, s.size(224), s.size(224))
    x = n.unit(x, s.width(32), 3, 2, act="relu6")
    plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for stage, (grow, c, blocks, first) in enumerate(plan):
        for block in range(min(blocks, s.depth(4))):
            n.path = ["net", "features", f"{stage}.{block}"]
            wide, stride = x.shape[1] * grow, first if block == 0 else 1
            y = x if grow == 1 else n.unit(x, wide, 1, act="relu6")
            y = n.unit(y, wide, 3, stride, groups=wide, act="relu6")
            y = n.unit(y, s.width(c), 1, act=None)
            x = n.binary("Add", x, y) if y.shape == x.shape else y
    classify(n, n.unit(x, s.width(1280), 1, act="relu6"), 1000 if not s.small else 10)


def dense(n, s):
    grow = s.width(32)
    x = stem(n, s, 2 * grow)
    for stage, layers in enumerate((6, 12, 24, 16)):
        parts = [x]
        for layer in range(min(layers, s.depth(24) * 3) if s.small else layers):
            n.path = ["net", f"block{stage}", f"layer{layer}"]
            x = n.concat(parts) if layer > 0 else x
            parts.append(n.conv(n.unit(n.relu(n.batch_norm(x)), 4 * grow, 1), grow, 3, bias=False))
        x = n.concat(parts)
        if stage < 3 and x.shape[2] > 3:
            x = n.conv(n.relu(n.batch_norm(x)), x.shape[1] // 2, 1, bias=False)
            x = n.pool(x, "Average", 2, 2)
    classify(n, n.relu(n.batch_norm(x)), 1000 if not s.small else 10)


def fire(n, s):
    x = n.input("image", 1, 3, s.size(224), s.size(224))
    x = n.pool(n.relu(n.conv(x, s.width(64), 3, 2, pad=0)), "Max", 3, 2)
    for i, (squeeze, c) in enumerate(((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256),
                                      (64, 256))):
        n.path = ["net", "features", f"{i}"]
        y = n.relu(n.conv(x, s.width(squeeze), 1))
        x = n.concat([n.relu(n.conv(y, s.width(c), k)) for k in (1, 3)])
        if i in (1, 3) and x.shape[2] > 3:
            x = n.pool(x, "Max", 3, 2)
    x = n.relu(n.conv(n.dropout(x), 1000 if not s.small else 10, 1))
    n.output(n.flatten(n.global_mean(x)), "logits")


def unet(n, s, bilinear=True):
    """Up by transposed convolutions, and where it may by bilinear resizing at every second level."""
    x = n.input("image", 1, 3, s.size(256), s.size(256))
    kept = []
    for level, c in enumerate((32, 64, 128, 256)):
        n.path = ["net", f"down{level}"]
        x = n.unit(n.unit(x, s.width(c)), s.width(c))
        kept.append(x)
        x = n.pool(x, "Max", 2, 2)
    x = n.unit(n.unit(x, s.width(512)), s.width(512))
    for level, y in enumerate(reversed(kept)):
        n.path = ["net", f"up{level}"]
        resize = bilinear and level % 2 == 1
        up = n.conv(n.upsample(x, 2, "linear"), y.shape[1], 1) if resize else n.conv_transpose(x, y.shape[1])
        x = n.unit(n.unit(n.concat([y, up]), y.shape[1]), y.shape[1])
    n.output(n.unary("Sigmoid", n.conv(x, 2, 1)), "mask")


def subpixel(n, s, size=(128, 192)):
    """Real-ESRGAN's compact network: the picture, enlarged by repetition, and what the network adds."""
    x = n.input("image", 1, 3, s.size(size[0]), s.size(size[1]))
    y = n.prelu(n.conv(x, s.width(64)))
    for i in range(s.depth(16)):
        n.path = ["net", f"body.{i}"]
        y = n.prelu(n.conv(y, s.width(64)))
    y = n.depth_to_space(n.conv(y, 3 * 16, gain=0.3), 4)
    n.output(n.binary("Add", y, n.upsample(x, 4)), "enlarged")


def dense_residual(n, s):
    """ESRGAN's blocks: concatenations of all before, leaky ReLU, scaled sums, upsampling before convolutions."""
    x = n.input("image", 1, 3, s.size(96), s.size(96))
    x = first = n.conv(x, s.width(64))
    for block in range(s.depth(3)):
        parts = [x]
        for i in range(5):
            n.path = ["net", f"body.{block}", f"conv{i}"]
            y = n.conv(n.concat(parts) if i > 0 else x, s.width(64) if i == 4 else s.width(32))
            parts.append(n.unary("LeakyRelu", y, alpha=0.2) if i < 4 else y)
        x = n.binary("Add", n.binary("Mul", parts[-1], n.number(0.2)), x)
    x = n.binary("Add", n.conv(x, s.width(64)), first)
    x = n.unary("LeakyRelu", n.conv(n.upsample(x, 2), s.width(64)), alpha=0.2)
    n.output(n.clip(n.conv(x, 3), 0, 1), "enlarged")


def squeeze_excite(n, s):
    x = n.input("image", 1, 3, s.size(224), s.size(224))
    x = n.unit(x, s.width(32), 3, 2, act="hard_swish")
    for i, (c, kernel, stride, act) in enumerate(((32, 3, 2, "relu"), (64, 5, 2, "silu"), (64, 5, 1, "hard_swish"),
                                                  (128, 3, 2, "silu"))):
        n.path = ["net", f"blocks.{i}"]
        wide = 4 * x.shape[1]
        y = n.unit(n.unit(x, wide, 1, act=act), wide, kernel, stride, groups=wide, act=act)
        gate = n.relu(n.conv(n.global_mean(y), max(wide // 8, 4), 1))
        gate = n.conv(gate, wide, 1)
        gate = n.unary("Sigmoid", gate) if i % 2 else n.unary("HardSigmoid", gate, alpha=1 / 6, beta=0.5)
        y = n.unit(n.binary("Mul", y, gate), s.width(c), 1, act=None)
        x = n.binary("Add", x, y) if x.shape == y.shape else y
    classify(n, n.unit(x, s.width(512), 1, act="hard_swish"), 1000 if not s.small else 10)


def bottleneck_split(n, x, out, repeats=1, shortcut=True):
    """YOLO's: a half goes through pairs of convolutions, and everything is concatenated."""
    parts = n.split(n.unit(x, out, 1, act="silu"), 2)
    for _ in range(repeats):
        y = n.unit(n.unit(parts[-1], parts[-1].shape[1], act="silu"), parts[-1].shape[1], act="silu")
        parts.append(n.binary("Add", parts[-1], y) if shortcut else y)
    return n.unit(n.concat(parts), out, 1, act="silu")


def pyramid_pool(n, x):
    pooled = [n.unit(x, x.shape[1] // 2, 1, act="silu")]
    for _ in range(3):
        pooled.append(n.pool(pooled[-1], "Max", 5, 1, 2))
    return n.unit(n.concat(pooled), x.shape[1], 1, act="silu")


def yolo(n, s):
    """A detector of two levels, up and down: the head's boxes and classes out of one convolution."""
    x = n.input("images", 1, 3, s.size(256), s.size(256))
    x = n.unit(x, s.width(64), 3, 2, act="silu")
    levels = []
    for i, c in enumerate((64, 128, 256)):
        n.path = ["net", f"model.{i}"]
        x = bottleneck_split(n, n.unit(x, s.width(c), 3, 2, act="silu"), s.width(c))
        levels.append(x)
    x = pyramid_pool(n, x)
    up = n.concat([n.upsample(x, 2), levels[1]])
    up = bottleneck_split(n, up, levels[1].shape[1])
    heads = []
    for i, (level, stride) in enumerate(((up, 8), (x, 16))):
        n.path = ["net", "head", f"{i}"]
        heads.append((n.conv(n.unit(level, s.width(128), act="silu"), 4 * 8 + 6, 1), stride))
    boxes_of_bins(n, heads, 8, 6)


def boxes_of_bins(n, heads, bins, classes):
    """heads: each level's image of 4 * bins + classes channels, and its stride. Distributions over bins become
    distances from a cell's centre, by anchors of shape arithmetic, and these boxes in pixels; classes go through a
    sigmoid."""
    flat = [n.reshape(level, 1, 4 * bins + classes, -1) for level, _ in heads]
    y = n.concat(flat, 2)
    boxes, scores = n.slice(y, 1, 0, 4 * bins), n.slice(y, 1, 4 * bins, 4 * bins + classes)
    count = y.shape[2]
    boxes = n.transpose(n.reshape(boxes, 1, 4, bins, count), 0, 2, 1, 3)
    boxes = n.reshape(conv_of_bins(n, n.softmax(boxes, 1)), 1, 4, count)
    low, high = n.slice(boxes, 1, 0, 2), n.slice(boxes, 1, 2, 4)
    anchors = n.concat([anchor_points(n, level) for level, _ in heads], 2)
    steps = np.concatenate([np.full(f.shape[2], stride, np.float32) for f, (_, stride) in zip(flat, heads)])
    low, high = n.binary("Sub", anchors, low), n.binary("Add", anchors, high)
    centre = n.binary("Div", n.binary("Add", low, high), n.number(2.0))
    box = n.binary("Mul", n.concat([centre, n.binary("Sub", high, low)]), n.weight(steps.reshape(1, -1), "strides"))
    n.output(n.concat([box, n.unary("Sigmoid", scores)]), "output0")


def conv_of_bins(n, x):
    """The expected bin: a 1x1 convolution with weights 0, 1, 2, ..."""
    bins = n.weight(np.arange(x.shape[1], dtype=np.float32).reshape(1, -1, 1, 1), "bins")
    return n.node("Conv", [x, bins], (x.shape[0], 1, *x.shape[2:]), kernel_shape=[1, 1])


def anchor_points(n, level):
    """Centres of cells, [1, 2, cells]: by Shape, Range and Expand where the spelling computes shapes."""
    h, w = level.shape[2:]
    if n.spelling in ("simple", "dynamo") or n.opset < 11:
        y, x = np.mgrid[0:h, 0:w]
        return n.weight((np.stack([x, y]).reshape(1, 2, -1) + 0.5).astype(np.float32), "anchors")
    axes = []
    for axis, (at, shape) in enumerate(((2, (h, 1)), (3, (1, w)))):
        extent = n.node("Gather", [n.node("Shape", [level], (4,)), n.number(at)], (), axis=0)
        line = n.node("Range", [n.number(0), extent, n.number(1)], ((h, w)[axis],))
        line = n.node("Cast", [line], line.shape, to=1)
        line = n.binary("Add", line, n.number(0.5))
        line = n.node("Reshape", [line, n.number([-1, 1] if axis == 0 else [1, -1])], shape)
        target = n.concat([n.extent(level, 2), n.extent(level, 3)], 0)
        line = n.node("Expand", [line, target], (h, w))
        axes.append(n.unsqueeze(line, [0], (1, h, w)))
    both = n.concat([axes[1], axes[0]], 0)
    flat = n.node("Reshape", [both, n.number([2, -1])], (2, h * w))
    return n.unsqueeze(flat, [0], (1, 2, h * w))


def pillars(n, s):
    """ConvNeXt's blocks: depthwise 7x7, layer norm over channels last, GELU, scaled residuals."""
    x = n.input("image", 1, 3, s.size(224), s.size(224))
    x = n.conv(x, s.width(96), 4, 4, pad=0)
    for stage, (c, blocks) in enumerate(((96, 3), (192, 3), (384, 3))):
        if stage > 0:
            x = n.conv(x, s.width(c), 2, 2, pad=0)
        for block in range(s.depth(blocks)):
            n.path = ["net", f"stages.{stage}", f"blocks.{block}"]
            y = n.transpose(n.conv(x, x.shape[1], 7, groups=x.shape[1]), 0, 2, 3, 1)
            y = n.linear(n.gelu(n.linear(n.layer_norm(y), 4 * x.shape[1])), x.shape[1])
            scale = n.weight(n.normal(x.shape[1], scale=0.5), "gamma")
            x = n.binary("Add", x, n.transpose(n.binary("Mul", y, scale), 0, 3, 1, 2))
    y = n.layer_norm(n.reshape(n.global_mean(x), 1, x.shape[1]))
    n.output(n.linear(y, 1000 if not s.small else 10), "logits")


def attention(n, s):
    """A small vision transformer: patches, heads by reshapes and transposes, products of batches, softmax."""
    c, heads = s.width(192), 4 if s.small else 3
    x = n.input("image", 1, 3, s.size(224), s.size(224))
    x = n.conv(x, c, 16 if not s.small else 4, 16 if not s.small else 4, pad=0)
    x = n.transpose(n.reshape(x, 1, c, -1), 0, 2, 1)
    t, each = x.shape[1], c // heads
    x = n.binary("Add", x, n.weight(n.normal(1, t, c, scale=0.2), "positions"))
    for block in range(s.depth(4)):
        n.path = ["net", "encoder", f"{block}"]
        y = n.linear(n.layer_norm(x), 3 * c)
        q, k, v = (n.transpose(n.reshape(part, 1, t, heads, each), 0, 2, 1, 3) for part in n.split(y, 3, 2))
        score = n.node("MatMul", [q, n.transpose(k, 0, 1, 3, 2)], (1, heads, t, t))
        score = n.softmax(n.binary("Mul", score, n.number(each ** -0.5)))
        y = n.node("MatMul", [score, v], (1, heads, t, each))
        y = n.linear(n.reshape(n.transpose(y, 0, 2, 1, 3), 1, t, c), c)
        x = n.binary("Add", x, y)
        x = n.binary("Add", x, n.linear(n.gelu(n.linear(n.layer_norm(x), 4 * c)), c))
    n.output(n.linear(n.reshape(n.mean(n.layer_norm(x), [1]), 1, c), 1000 if not s.small else 10), "logits")


def excited_tower(n, x, blocks):
    """Residual blocks with squeeze and excitation that adds as well, as players of games have."""
    c = x.shape[1]
    for block in range(blocks):
        n.path = ["net", f"block{block}"]
        y = n.unit(n.unit(x, c), c, act=None, gain=0.5)
        gate = n.relu(n.linear(n.flatten(n.global_mean(y)), max(c // 4, 4)))
        gate = n.reshape(n.linear(gate, 2 * c), x.shape[0], 2 * c, 1, 1)
        scale, shift = n.split(gate, 2)
        y = n.binary("Add", n.binary("Mul", y, n.unary("Sigmoid", scale)), shift)
        x = n.relu(n.binary("Add", x, y))
    return x


def board(n, s):
    """A player of games: a tower, a policy and how likely each end of the game is."""
    x = n.input("planes", 1 if s.small else 2, 22, 8, 8)
    x = excited_tower(n, n.unit(x, s.width(128)), s.depth(6))
    policy = n.linear(n.flatten(n.unit(x, 16, 1)), 73)
    value = n.relu(n.linear(n.flatten(n.unit(x, 4, 1)), s.width(128)))
    n.output(n.softmax(policy), "policy")
    n.output(n.unary("Tanh", n.linear(value, 3)), "value")  # of one number alone, near 0, the relative error is large


def channels_last(n, s):
    """As tf2onnx leaves it: images with channels last, a transpose before each convolution and one after."""
    x = n.input("image", 1, s.size(160), s.size(160), 3)
    for i, (c, stride) in enumerate(((32, 2), (64, 1), (64, 2))):
        n.path = ["net", f"conv{i}"]
        y = n.transpose(x, 0, 3, 1, 2)
        if stride == 2:  # SAME of even extents: one row after
            h, w = y.shape[2:]
            shape = (1, y.shape[1], h + 1, w + 1)
            pads = [0, 0, 0, 0, 0, 0, 1, 1]
            y = (n.node("Pad", [y, n.number(pads)], shape) if n.opset >= 11 else
                 n.node("Pad", [y], shape, pads=pads, mode="constant"))
        y = n.conv(y, s.width(c), 3, stride, pad=0 if stride == 2 else 1)
        x = n.clip(n.transpose(y, 0, 2, 3, 1), 0, 6)
    x = n.node("Squeeze", [n.mean(x, [1, 2])] + ([n.number([1, 2])] if n.opset >= 13 else []), (1, x.shape[3]),
               **({"axes": [1, 2]} if n.opset < 13 else {}))
    n.output(n.softmax(n.linear(x, 10)), "probabilities")


def waves(n, s):
    """Convolutions with one axis: dilated, grouped, and up again."""
    x = n.input("sound", 1, 2, s.size(4096))
    x = n.conv(x, s.width(64), 7)
    for i in range(s.depth(4) + 1):
        n.path = ["net", f"layer{i}"]
        y = n.conv(x, 2 * x.shape[1], 3, dilation=2 ** i, groups=2)
        a, b = n.split(y, 2)
        x = n.binary("Add", x, n.binary("Mul", n.unary("Tanh", a), n.unary("Sigmoid", b)))
    y = n.conv_transpose(n.pool(x, "Average", 4, 4), x.shape[1], 8, 4, 2)
    n.output(n.conv(n.binary("Add", x, y), 1, 5), "filtered")


def volume(n, s):
    """Convolutions with three axes."""
    x = n.input("voxels", 1, 1, 8, s.size(64), s.size(64))
    x = n.pool(n.unit(x, s.width(32)), "Max", 2, 2)
    x = n.unit(n.unit(x, s.width(64), stride=2), s.width(64))
    x = n.upsample(x, 2)
    n.output(n.conv(x, 2, 1), "labels")
