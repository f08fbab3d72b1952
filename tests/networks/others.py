"""More networks of the kinds that figures are given of: what nobody looked at while plans were chosen.

In and out: as kinds.py.
"""
from kinds import classify, shortcut


def inception(n, s):
    """GoogLeNet: four branches of 1x1, 3x3, 3x3 (once 5x5) and pooled, side by side."""
    x = n.unit(n.input("image", 1, 3, s.size(224), s.size(224)), s.width(64), 7, 2)
    x = n.pool(x, "Max", 3, 2, 1)
    x = n.pool(n.unit(n.unit(x, s.width(64), 1), s.width(192)), "Max", 3, 2, 1)
    plan = ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None, (192, 96, 208, 16, 48, 64),
            (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
            (256, 160, 320, 32, 128, 128), None, (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128))
    for i, widths in enumerate(plan[:3 * s.depth(4)]):
        n.path = ["net", f"inception{i}"]
        if widths is None:
            x = n.pool(x, "Max", 3, 2, 1)
            continue
        one, before, three, before_five, five, pooled = (s.width(c) for c in widths)
        x = n.concat([n.unit(x, one, 1), n.unit(n.unit(x, before, 1), three), n.unit(n.unit(x, before_five, 1), five),
                      n.unit(n.pool(x, "Max", 3, 1, 1), pooled, 1)])
    classify(n, x, 1000 if not s.small else 10)


def grouped(n, s):
    """RegNetX-800MF: bottlenecks without a neck whose 3x3 are of groups of 16 channels."""
    each = s.width(16)
    x = n.unit(n.input("image", 1, 3, s.size(224), s.size(224)), s.width(32), 3, 2)
    for stage, (c, blocks) in enumerate(((64, 1), (128, 3), (288, 7), (672, 5))):
        for block in range(s.depth(blocks)):
            n.path = ["net", f"block{stage + 1}", f"{block}"]
            out, stride = max(s.width(c) // each, 1) * each, 2 if block == 0 else 1
            y = n.unit(n.unit(x, out, 1), out, 3, stride, groups=out // each)
            y = n.unit(y, out, 1, act=None, gain=0.3)
            x = n.relu(n.binary("Add", y, shortcut(n, x, y, stride)))
    classify(n, x, 1000 if not s.small else 10)


def mnasnet(n, s):
    """MNASNet 1.0: inverted residuals of 3x3 and 5x5."""
    x = n.unit(n.input("image", 1, 3, s.size(224), s.size(224)), s.width(32), 3, 2)
    x = n.unit(x, x.shape[1], 3, groups=x.shape[1])
    x = n.unit(x, s.width(16), 1, act=None)
    plan = ((3, 24, 3, 2, 3), (3, 40, 3, 2, 5), (6, 80, 3, 2, 5), (6, 96, 2, 1, 3), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))
    for stage, (grow, c, blocks, first, kernel) in enumerate(plan):
        for block in range(s.depth(blocks)):
            n.path = ["net", "layers", f"{stage}.{block}"]
            wide, stride = x.shape[1] * grow, first if block == 0 else 1
            y = n.unit(n.unit(x, wide, 1), wide, kernel, stride, groups=wide)
            y = n.unit(y, s.width(c), 1, act=None)
            x = n.binary("Add", x, y) if y.shape == x.shape else y
    classify(n, n.unit(x, s.width(1280), 1), 1000 if not s.small else 10)


def efficientnet(n, s):
    """EfficientNet-B0: inverted residuals with squeeze and excitation."""
    x = n.unit(n.input("image", 1, 3, s.size(224), s.size(224)), s.width(32), 3, 2, act="silu")
    plan = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
            (6, 320, 1, 1, 3))
    for stage, (grow, c, blocks, first, kernel) in enumerate(plan):
        for block in range(s.depth(blocks)):
            n.path = ["net", "features", f"{stage}.{block}"]
            wide, stride, few = x.shape[1] * grow, first if block == 0 else 1, max(x.shape[1] // 4, 2)
            y = x if grow == 1 else n.unit(x, wide, 1, act="silu")
            y = n.unit(y, wide, kernel, stride, groups=wide, act="silu")
            gate = n.unary("Sigmoid", n.conv(n.silu(n.conv(n.global_mean(y), few, 1)), wide, 1))
            y = n.unit(n.binary("Mul", y, gate), s.width(c), 1, act=None)
            x = n.binary("Add", x, y) if y.shape == x.shape else y
    classify(n, n.unit(x, s.width(1280), 1, act="silu"), 1000 if not s.small else 10)


def denoise(n, s):
    """DnCNN: 17 layers, and the noise that they find taken off the picture."""
    x = y = n.input("image", 1, 1, s.size(256), s.size(256))
    for i in range(2 + s.depth(15)):
        n.path = ["net", f"{i}"]
        y = n.conv(y, 1, gain=0.3) if i == 1 + s.depth(15) else n.unit(y, s.width(64))
    n.output(n.binary("Sub", x, y), "clean")


def tower(n, s, blocks=20, width=256, side=19):
    """AlphaZero's: 20 blocks of 256 channels."""
    x = n.unit(n.input("planes", 1, 17, side, side), s.width(width))
    for block in range(s.depth(blocks)):
        n.path = ["net", f"block{block}"]
        y = n.unit(n.unit(x, x.shape[1]), x.shape[1], act=None, gain=0.3)
        x = n.relu(n.binary("Add", x, y))
    n.path = ["net", "heads"]
    n.output(n.linear(n.flatten(n.unit(x, 2, 1)), side * side + 1), "policy")
    value = n.relu(n.linear(n.flatten(n.unit(x, 4, 1)), s.width(256)))
    n.output(n.unary("Tanh", n.linear(value, 3)), "value")


def odd_unet(n, s, height=253, width=187):
    """A U-Net on a picture whose sizes halve with a remainder: what comes up is padded to what it meets."""
    if s.small:
        height, width = 29, 19
    x = n.input("image", 1, 1, height, width)
    kept = []
    for level, c in enumerate((32, 64, 128)):
        n.path = ["net", f"down{level}"]
        x = n.unit(n.unit(x, s.width(c)), s.width(c))
        kept.append(x)
        x = n.pool(x, "Max", 2, 2)
    x = n.unit(n.unit(x, s.width(256)), s.width(256))
    for level, y in enumerate(reversed(kept)):
        n.path = ["net", f"up{level}"]
        up = n.pad(n.conv_transpose(x, y.shape[1]), y.shape[2:])
        x = n.unit(n.unit(n.concat([y, up]), y.shape[1]), y.shape[1])
    n.output(n.unary("Sigmoid", n.conv(x, 2, 1)), "mask")
