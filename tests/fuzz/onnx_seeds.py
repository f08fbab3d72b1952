"""Writes tests/fuzz/seeds/fuzz_onnx with the package onnx (1.16): small models that between them have every message and
field that is read. tests/unit/test_onnx_file.c knows what is in them.

    python3 tests/fuzz/onnx_seeds.py
"""
import os

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seeds", "fuzz_onnx")


def write(name, message):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(message.SerializeToString(deterministic=True))


def model(graph, opset=17, ir=8, functions=(), others=()):
    opsets = [h.make_opsetid("", opset)] + [h.make_opsetid(d, v) for d, v in others]
    m = h.make_model(graph, opset_imports=opsets, functions=list(functions), producer_name="seeds")
    m.ir_version = ir
    m.producer_version = "1"
    return m


x = h.make_tensor_value_info("x", T.FLOAT, [1, "C", None, 4])
y = h.make_tensor_value_info("y", T.FLOAT, None)

# raw data, a value_info, documentation and metadata
w = numpy_helper.from_array(np.arange(18, dtype=np.float32).reshape(2, 1, 3, 3) / 4, "w")
conv = h.make_node("Conv", ["x", "w", ""], ["c"], "conv0", pads=[1, 1, 1, 1], auto_pad="NOTSET", doc_string="a comment")
relu = h.make_node("Relu", ["c"], ["y"], domain="ai.onnx")
graph = h.make_graph([conv, relu], "net", [x], [y], [w], "words", [h.make_tensor_value_info("c", T.FLOAT16, [])])
m = model(graph)
m.metadata_props.add(key="who", value="cares")
write("conv", m)

# a tensor of each type, typed
tensors = []
for kind, values in [(T.FLOAT, [0.5, -2]), (T.DOUBLE, [0.25, -8]), (T.UINT8, [0, 255]), (T.INT8, [-128, 127]),
                     (T.UINT16, [1, 65535]), (T.INT16, [-32768, 3]), (T.INT32, [-5, 1 << 30]), (T.INT64, [-1, 1 << 40]),
                     (T.BOOL, [1, 0]), (T.FLOAT16, [1, -2]), (T.BFLOAT16, [1, -2]), (T.UINT32, [7, 0xffffffff]),
                     (T.UINT64, [8, (1 << 64) - 1]), (T.COMPLEX64, [1 + 2j, 3 - 4j]), (T.COMPLEX128, [5 + 6j, 7j]),
                     (T.STRING, [b"ab", b"\xff"]), (T.FLOAT8E4M3FN, [1, -2]), (T.INT4, [1, -2, 3])]:
    tensors.append(h.make_tensor(T.DataType.Name(kind), kind, [len(values)], values))
write("typed", model(h.make_graph([], "types", [], [y], tensors), 21, 10))

# an attribute of each kind
branch = h.make_graph([h.make_node("Constant", [], ["b"], value=h.make_tensor("one", T.FLOAT, [], [1]))], "branch", [],
                      [h.make_tensor_value_info("b", T.FLOAT, [])])
kinds = h.make_node("Kinds", ["x"], ["y"], "all", domain="test.domain", f=1.5, i=-7, s="text", t=tensors[6], g=branch,
                    fs=[0.5, 2.0], ins=[1, -1, 1 << 50], ss=["a", "", "ß"], ts=[tensors[0]], gs=[branch],
                    tp=h.make_tensor_type_proto(T.FLOAT, [1]))
sequence = h.make_tensor_sequence_value_info("q", T.FLOAT, [1])
optional = h.make_value_info("o", h.make_optional_type_proto(h.make_tensor_type_proto(T.INT64, [2])))
write("attributes", model(h.make_graph([kinds], "kinds", [sequence, optional], [y]), others=[("test.domain", 1)]))

# a function with an attribute, its default, and a reference to it
alpha = h.make_node("LeakyRelu", ["a"], ["b"])
alpha.attribute.add(name="alpha", ref_attr_name="slope", type=1)
function = h.make_function("local", "Leak", ["a"], ["b"], [alpha], [h.make_opsetid("", 17)], ["slope"],
                           [h.make_attribute("bias", 0.5)])
call = h.make_node("Leak", ["x"], ["y"], domain="local", slope=0.25)
write("function", model(h.make_graph([call], "calls", [x], [y]), functions=[function], others=[("local", 1)]))

# data beside the model; a sparse initialiser
far = T(name="far", data_type=T.FLOAT, dims=[2, 3], data_location=T.EXTERNAL)
for key, value in [("location", "far.bin"), ("offset", "8"), ("length", "24")]:
    far.external_data.add(key=key, value=value)
graph = h.make_graph([h.make_node("Identity", ["far"], ["y"])], "beside", [], [y], [far])
graph.sparse_initializer.append(h.make_sparse_tensor(h.make_tensor("sp", T.FLOAT, [1], [1]),
                                                     h.make_tensor("at", T.INT64, [1], [0]), [4]))
write("external", model(graph))
