#!/usr/bin/env python3
"""Networks with fixed weights, an input and its results in float64: make_networks.py [--small] FOLDER [NAME...]

In: numpy and onnx. Out: a folder for each network and spelling (exporter.py), in the form of ONNX's own test data:
model.onnx, test_data_set_0/input_0.pb and output_N.pb, whose floats are double. --small: the same layers with few channels
on small images, milliseconds each, and compared with onnx.reference as well. Names: all of what is made, else those that
begin with one of them. What is there already is left alone.
"""
import os
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from onnx.reference import ReferenceEvaluator

import evaluate
from exporter import Network
from figures import edsr, kata, lc0, yolov8n
from kinds import (Sizes, attention, board, bottleneck, channels_last, dense, dense_residual, depthwise, fire, pillars,
                   residual, squeeze_excite, subpixel, unet, volume, waves, yolo)
from others import denoise, efficientnet, grouped, inception, mnasnet, odd_unet, tower

ALL = ["script", "dynamo", "old7", "old9", "old11"]
NEW = ["script", "dynamo"]
NETWORKS = {residual: ALL, bottleneck: ["script", "old9"], depthwise: ALL, dense: ["dynamo", "old7"], fire: ALL,
            unet: ["script", "dynamo", "old9", "old11"], subpixel: ["script", "dynamo", "old7", "old11"],
            dense_residual: ["script", "old9"], squeeze_excite: ["script", "dynamo", "old11"],
            yolo: ["script", "dynamo", "old11"], pillars: NEW, attention: NEW, board: ALL,
            channels_last: ["script", "old9", "old11"], waves: ["script", "dynamo", "old9"], volume: NEW + ["old9"],
            edsr: ["simple", "old11"], kata: ["simple", "script", "old9"], lc0: ["simple", "dynamo"],
            yolov8n: ["simple", "script"], inception: ["simple", "old9"], grouped: ["script"], mnasnet: ["dynamo"],
            efficientnet: ["script", "dynamo"], denoise: ["old9"], tower: ["simple"], odd_unet: ["script", "old9"]}


def put(path, array):
    with open(path, "wb") as file:
        file.write(numpy_helper.from_array(np.ascontiguousarray(array).reshape(np.shape(array))).SerializeToString())


def relative(x, y):
    return np.linalg.norm(x - y) / max(np.linalg.norm(y), 1e-300)


def compare_with_onnx(model, inputs, results):
    """The evaluator against ONNX's own: float32 there, so a wrong definition is seen and nothing else."""
    opset, used = model.opset_import[0].version, {node.op_type for node in model.graph.node}
    if opset < 9 or (opset < 14 and "BatchNormalization" in used) or used & {"Resize", "Upsample"}:
        return  # it trains where batch normalisation is older than its training_mode; a Resize takes it minutes
    compare_outputs(model, inputs, results)


def compare_outputs(model, inputs, results):
    names = list(results)
    for name, other in zip(names, ReferenceEvaluator(model).run(names, inputs)):
        error = relative(np.asarray(other, np.float64), results[name])
        if other.shape != results[name].shape or error > 1e-4:
            raise SystemExit(f"{model.graph.name}: {name}: onnx.reference has something else, {error:.2g}")


def compare_resize():
    """Each way of resizing that is used here, of a few pixels."""
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4) ** 2
    for mode, where in (("nearest", "asymmetric"), ("linear", "half_pixel")):
        node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode=mode, nearest_mode="floor",
                                coordinate_transformation_mode=where)
        values = [helper.make_tensor_value_info(v, TensorProto.FLOAT, [1, 1, h, w])
                  for v, h, w in (("x", 3, 4), ("y", 6, 8))]
        scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
        graph = helper.make_graph([node], "resize of " + mode, values[:1], values[1:], [scales])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        compare_outputs(model, {"x": x}, evaluate.evaluate(model, {"x": x}))


def make(folder, network, spelling, small):
    name = f"{network.__name__}-{spelling}"
    place = os.path.join(folder, name)
    if os.path.exists(os.path.join(place, "test_data_set_0", "done")):
        return
    n = Network(name, spelling)
    network(n, Sizes(small))
    model = n.model()
    inputs = {}
    for value in n.inputs:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        inputs[value.name] = n.random.random(shape, np.float32) * 2 - 1
    results = evaluate.evaluate(model, inputs)
    if small:
        compare_with_onnx(model, inputs, results)
    data = os.path.join(place, "test_data_set_0")
    os.makedirs(data, exist_ok=True)
    save(model, os.path.join(place, "model.onnx"))
    for i, value in enumerate(inputs.values()):
        put(os.path.join(data, f"input_{i}.pb"), value)
    for i, value in enumerate(results.values()):
        if not np.all(np.isfinite(value)) or (value.size > 1 and np.ptp(value) == 0):
            raise SystemExit(f"{name}: results that say nothing")
        put(os.path.join(data, f"output_{i}.pb"), value)
    open(os.path.join(data, "done"), "w").close()


def main(words):
    small = "--small" in words
    words = [w for w in words if w != "--small"]
    if not words or words[0].startswith("-"):
        raise SystemExit(__doc__)
    if small:
        compare_resize()
    for network, spellings in NETWORKS.items():
        for spelling in spellings:
            name = f"{network.__name__}-{spelling}"
            if len(words) == 1 or any(name.startswith(w) for w in words[1:]):
                make(words[0], network, spelling, small)


if __name__ == "__main__":
    main(sys.argv[1:])
