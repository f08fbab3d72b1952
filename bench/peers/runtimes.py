"""Runtimes of whole networks, behind one face: `winnow bench MODEL --peers` times them beside winnow.

In: a .onnx file and its inputs, arrays by name in the model's order. Out: an object whose run() computes once and whose outputs()
are the results in the model's order. Always holds: float32 everywhere and no less inside, as many threads as asked for, inputs where
the runtime wants them before anything is timed; a conversion that a runtime needs is done before it is loaded and counted apart.
"""
import contextlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess

import numpy as np


class OnnxRuntime:
    title, package = "ONNX Runtime", "onnxruntime"

    def __init__(self, threads):
        import onnxruntime
        self.module, self.threads, self.version = onnxruntime, threads, onnxruntime.__version__

    def convert(self, path, inputs, folder):
        return path

    def load(self, path, inputs):
        options = self.module.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = self.threads, 1, 3
        session = self.module.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        self.kept = [self.module.OrtValue.ortvalue_from_numpy(x) for x in inputs.values()]
        for name, value in zip(inputs, self.kept):
            binding.bind_ortvalue_input(name, value)
        for output in session.get_outputs():
            binding.bind_output(output.name)
        self.run = lambda: session.run_with_iobinding(binding)
        self.outputs = binding.copy_outputs_to_cpu


class OpenVino:
    title, package = "OpenVINO", "openvino"

    def __init__(self, threads):
        import openvino
        self.module, self.threads, self.version = openvino, threads, openvino.__version__.split("-")[0]

    def convert(self, path, inputs, folder):
        return path

    def load(self, path, inputs):
        core = self.module.Core()
        # without the hint it computes in bfloat16 where the processor can; winnow's process is pinned, so nothing else is
        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": self.threads, "INFERENCE_PRECISION_HINT": "f32",
                  "ENABLE_CPU_PINNING": False, "NUM_STREAMS": 1}
        network = core.read_model(path)
        network.reshape({name: list(x.shape) for name, x in inputs.items()})
        compiled = core.compile_model(network, "CPU", config)
        request = compiled.create_infer_request()
        for name, x in inputs.items():
            request.set_tensor(name, self.module.Tensor(x, shared_memory=True))
        self.run = request.infer
        self.outputs = lambda: [request.get_output_tensor(i).data.copy() for i in range(len(compiled.outputs))]


def number_in(name):
    return int(re.sub(r"\D", "", name) or 0)


class Ncnn:
    """Through pnnx, ncnn's converter, whose package is a program of its own."""
    title, package = "ncnn", "ncnn"

    def __init__(self, threads):
        import ncnn
        self.module, self.threads, self.version = ncnn, threads, ncnn.__version__
        ncnn.set_omp_num_threads(threads)

    def convert(self, path, inputs, folder):
        found = importlib.util.find_spec("pnnx")
        if found is None:
            raise RuntimeError("pnnx, its converter, is not installed")
        program = os.path.join(list(found.submodule_search_locations)[0], "pnnx")
        os.symlink(os.path.abspath(path), os.path.join(folder, "m.onnx"))
        shapes = ",".join("[" + ",".join(map(str, x.shape)) + "]" for x in inputs.values())
        done = subprocess.run([program, "m.onnx", f"inputshape={shapes}", "fp16=0"], cwd=folder, capture_output=True, text=True)
        out = os.path.join(folder, "m.ncnn.param")
        with contextlib.suppress(OSError), open(out) as file:
            kept = [line.split()[0] for line in file.read().split("\n")[2:]
                    if re.match(r"(pnnx|aten|prim|nn|F|torch|Tensor|onnx)\b[._:]", line)]
            if not kept:
                return out
            raise RuntimeError(f"pnnx cannot convert {', '.join(sorted(set(kept))[:5])}")
        raise RuntimeError(f"pnnx made nothing: {(done.stderr or done.stdout).strip()[-160:]}")

    def load(self, path, inputs):
        module, network = self.module, self.module.Net()
        network.opt.num_threads = self.threads
        network.opt.use_vulkan_compute = False
        for option in dir(network.opt):
            if option.startswith(("use_fp16", "use_bf16")):
                setattr(network.opt, option, False)
        if network.load_param(path) or network.load_model(path.removesuffix("param") + "bin"):
            raise RuntimeError("it does not load what pnnx made")
        mats = [module.Mat(x[0] if x.ndim > 1 else x).clone() for x in inputs.values()]
        names, outs = sorted(network.input_names(), key=number_in), sorted(network.output_names(), key=number_in)

        def run():
            extractor = network.create_extractor()
            for name, mat in zip(names, mats):
                extractor.input(name, mat)
            self.got = [extractor.extract(out)[1] for out in outs]

        self.run = run
        self.outputs = lambda: [np.array(mat) for mat in self.got]


class Mnn:
    """F(2,3) only, which is as exact as the others; its default goes to larger tiles with errors of 1e-4."""
    title, package = "MNN", "MNN"
    WINOGRAD_MEMORY_LEVEL = 3

    def __init__(self, threads):
        import MNN
        self.module, self.threads, self.version = MNN, threads, importlib.metadata.version("MNN")

    def convert(self, path, inputs, folder):
        import _tools  # what its command calls, which would also install a package
        out = os.path.join(folder, "m.mnn")
        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", path, "--MNNModel", out, "--bizCode", "x"])
        if not os.path.exists(out):
            raise RuntimeError("its converter made nothing")
        self.names = output_names(path)
        return out

    def load(self, path, inputs):
        module, network = self.module, self.module.Interpreter(path)
        network.setSessionHint(self.WINOGRAD_MEMORY_LEVEL, 1)
        session = network.createSession({"backend": "CPU", "precision": "high", "numThread": self.threads})
        ins, outs = network.getSessionInputAll(session), network.getSessionOutputAll(session)
        for name, x in inputs.items():
            if tuple(ins[name].getShape()) != x.shape:
                network.resizeTensor(ins[name], x.shape)
        network.resizeSession(session)
        caffe = module.Tensor_DimensionType_Caffe
        host = {name: module.Tensor(x.shape, module.Halide_Type_Float, x, caffe) for name, x in inputs.items()}

        def run():
            for name, tensor in host.items():
                ins[name].copyFrom(tensor)  # a run may use the memory of an input for something else
            network.runSession(session)

        def outputs():
            got = []
            for name in self.names:
                tensor = outs[name]
                shape = tensor.getShape()
                copy = module.Tensor(shape, module.Halide_Type_Float, np.zeros(shape, np.float32), caffe)
                tensor.copyToHostTensor(copy)
                got.append(np.array(copy.getData(), np.float32).reshape(shape))
            return got

        self.run, self.outputs, self.kept = run, outputs, (network, session)


def output_names(path):
    import onnx
    return [value.name for value in onnx.load(path, load_external_data=False).graph.output]


RUNTIMES = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "ncnn": Ncnn, "mnn": Mnn}
