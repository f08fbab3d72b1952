"""The networks of our figures whose weights are random: the table FIGURES, and those kinds that kinds.py has not.

In: a name of FIGURES. Out: the same model each time, of the size that people use, spelled as onnx-simplifier leaves
it. All but vgg16 also run among the tests, small, and spelled in other ways.
"""
from functools import partial

import numpy as np

from exporter import Network
from kinds import (Sizes, bottleneck, bottleneck_split, boxes_of_bins, dense, depthwise, excited_tower, fire,
                   pyramid_pool, residual, subpixel, unet)
from others import denoise, efficientnet, grouped, inception, mnasnet, odd_unet, tower


def vgg16(n, s):
    x = n.input("image", 1, 3, s.size(224), s.size(224))
    for stage, (c, convs) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        for i in range(convs):
            n.path = ["net", f"features{stage}", f"{i}"]
            x = n.relu(n.conv(x, s.width(c)))
        x = n.pool(x, "Max", 2, 2)
    n.path = ["net", "classifier"]
    x = n.flatten(x)
    for _ in range(2):
        x = n.relu(n.linear(x, s.width(4096), gain=1.4))
    n.output(n.linear(x, s.width(1000)), "logits")


def edsr(n, s):
    """Residual blocks without normalisation, and twice the size at the end."""
    c = s.width(64)
    x = first = n.conv(n.input("image", 1, 3, s.size(128), s.size(128)), c)
    for block in range(s.depth(16)):
        n.path = ["net", "body", f"{block}"]
        x = n.binary("Add", n.conv(n.relu(n.conv(x, c)), c, gain=0.3), x)
    n.path = ["net", "tail"]
    x = n.binary("Add", n.conv(x, c), first)
    n.output(n.conv(n.depth_to_space(n.conv(x, 4 * c), 2), 3, gain=0.7), "enlarged")


def kata(n, s, side=19):
    """KataGo's: normalisation and activation before each convolution; in every fourth block a part of the channels,
    pooled over the whole board, becomes a bias of the others."""
    c, some = s.width(128), s.width(32)

    def act(x):
        return n.relu(n.batch_norm(x))

    def conv(x, out, kernel=3, gain=1.0):
        return n.conv(x, out, kernel, bias=False, gain=gain)

    def pooled(x):
        mean = n.reduce("ReduceMean", x, [2, 3], keep=False)
        scaled = n.binary("Mul", mean, n.number((side - 14) / 10))
        return n.concat([mean, scaled, n.reduce("ReduceMax", x, [2, 3], keep=False)])

    def biased(x, by):
        w = n.weight(n.normal(by.shape[1], x.shape[1], scale=0.5 / by.shape[1] ** 0.5))
        return n.binary("Add", x, n.reshape(n.node("MatMul", [by, w], (1, x.shape[1])), 1, x.shape[1], 1, 1))

    planes, rules = n.input("planes", 1, 22, side, side), n.input("global", 1, 19)
    x = biased(conv(planes, c), rules)
    for block in range(3 if s.small else 10):
        n.path = ["net", f"block{block}"]
        y = act(x)
        if block % 4 == 2:
            y = biased(conv(y, c - some), pooled(act(conv(y, some))))
        else:
            y = conv(y, c)
        x = n.binary("Add", x, conv(act(y), c, gain=0.3))
    n.path = ["net", "heads"]
    x = act(x)
    side_by = pooled(act(conv(x, some, 1)))
    policy = conv(act(biased(conv(x, some, 1), side_by)), 1, 1)
    n.output(n.concat([n.reshape(policy, 1, side * side), n.linear(side_by, 1)]), "policy")
    value = n.relu(n.linear(pooled(act(conv(x, some, 1))), s.width(64)))
    n.output(n.linear(value, 3), "value")
    n.output(n.unary("Tanh", conv(x, 1, 1)), "ownership")


def lc0(n, s):
    """Leela Chess Zero's: moves are gathered out of planes of them."""
    c = s.width(128)
    x = excited_tower(n, n.unit(n.input("planes", 1, 112, 8, 8), c), s.depth(10))
    n.path = ["net", "heads"]
    moves = n.flatten(n.conv(n.unit(x, c), s.width(80)))
    places = np.sort(n.random.choice(moves.shape[1], moves.shape[1] * 1858 // 5120, replace=False))
    n.output(n.node("Gather", [moves, n.weight(places)], (1, places.size), axis=1), "policy")
    value = n.relu(n.linear(n.flatten(n.unit(x, s.width(32), 1)), s.width(128)))
    n.output(n.softmax(n.linear(value, 3)), "value")


def yolov8n(n, s):
    classes, bins, side = 80, 16, 64 if s.small else 320

    def unit(x, out, kernel=3, stride=1):
        return n.unit(x, out, kernel, stride, act="silu")

    x = unit(n.input("images", 1, 3, side, side), s.width(16), 3, 2)
    levels = []
    for i, (c, repeats) in enumerate(((32, 1), (64, 2), (128, 2), (256, 1))):
        n.path = ["net", f"model.{i}"]
        x = bottleneck_split(n, unit(x, s.width(c), 3, 2), s.width(c), repeats)
        levels.append(x)
    p3, p4, p5 = levels[1], levels[2], pyramid_pool(n, x)
    n.path = ["net", "neck"]
    h4 = bottleneck_split(n, n.concat([n.upsample(p5, 2), p4]), s.width(128), 1, False)
    h3 = bottleneck_split(n, n.concat([n.upsample(h4, 2), p3]), s.width(64), 1, False)
    h4 = bottleneck_split(n, n.concat([unit(h3, s.width(64), 3, 2), h4]), s.width(128), 1, False)
    h5 = bottleneck_split(n, n.concat([unit(h4, s.width(128), 3, 2), p5]), s.width(256), 1, False)
    heads = []
    for i, (level, stride) in enumerate(((h3, 8), (h4, 16), (h5, 32))):
        n.path = ["net", "head", f"{i}"]
        both = [n.conv(unit(unit(level, s.width(c)), s.width(c)), out, 1) for c, out in ((64, 4 * bins), (80, classes))]
        heads.append((n.concat(both), stride))
    boxes_of_bins(n, heads, bins, classes)


FIGURES = {"vgg16": vgg16, "unet": partial(unet, bilinear=False), "srvgg": partial(subpixel, size=(256, 256)),
           "edsr": edsr, "kata": kata, "kata-8x8": partial(kata, side=8), "lc0": lc0, "resnet18": residual,
           "resnet18-bn": residual, "resnet50": bottleneck, "squeezenet1.1": fire, "densenet121": dense,
           "yolov8n": yolov8n, "mobilenetv2": depthwise, "dncnn": denoise, "tower": tower, "unet-odd": odd_unet,
           "googlenet": inception, "regnet": grouped, "mnasnet": mnasnet, "efficientnet": efficientnet}


def figure(name):
    n = Network(name, "simple", norms=name.endswith("-bn"))
    FIGURES[name](n, Sizes(False))
    return n.model()
