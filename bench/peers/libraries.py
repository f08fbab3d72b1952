"""The libraries that winnow is timed beside, each behind the same small interface.

In: a problem (sizes as `winnow bench` prints them, see driver.py), float32 arrays x and w, the number of threads. Out: for each
library the ways in which it can do the problem, as Case objects. Always holds: weights are constant and converted before
anything is timed; float32 all through; a way that a library declines is not yielded; importing this file needs numpy only, a
library is imported when its class is made.

Layouts of a case: "nchw", what a caller holds, in and out; "nhwc"; "native", the library's own in and out, as inside a network.
"""
import ctypes
import dataclasses
import itertools
import json
import os
import sys
import tempfile
import time
from typing import Callable, Optional

import numpy as np


@dataclasses.dataclass
class Case:
    name: str
    layout: str
    run: Optional[Callable[[int], None]] = None  # run(calls): that many convolutions
    result: Optional[Callable[[], np.ndarray]] = None  # after a run, as plain NCHW; None: as accurate as `like`
    times: Optional[Callable[[float], list]] = None  # for cases with a clock of their own: times(seconds) -> µs of each call
    like: str = ""  # the case that computes the same numbers
    close: Callable[[], None] = lambda: None


def repeat(call):
    def run(calls):
        for _ in itertools.repeat(None, calls):
            call()

    return run


def address(array):
    return ctypes.c_void_p(array.ctypes.data)


def aligned(*shape):
    """Uninitialised float32 that starts at a cache line."""
    count = int(np.prod(shape))
    room = np.empty(count + 16, np.float32)
    skip = -room.ctypes.data % 64 // 4
    return room[skip : skip + count].reshape(shape)


def load(path):
    array = np.load(path)
    copy = aligned(*array.shape)
    copy[...] = array
    return copy


def is_image(problem):
    """Two axes, padded alike on both sides: what most of the libraries' front doors take."""
    return problem["axes"] == 2 and problem["pad_lo"] == problem["pad_hi"]


def is_plain_3x3(problem):
    return problem["filter"] == [3, 3] and problem["stride"] == [1, 1] and problem["dilation"] == [1, 1] and problem["groups"] == 1


def output_shape(problem):
    return (problem["batch"], problem["out_channels"], *problem["output"])


def onnx_model(problem, w):
    """A model of one Conv with constant weights, as bytes."""
    from onnx import TensorProto, helper, numpy_helper

    conv = helper.make_node(
        "Conv", ["image", "weights"], ["result"], name="conv", group=problem["groups"], kernel_shape=problem["filter"],
        strides=problem["stride"], dilations=problem["dilation"], pads=problem["pad_lo"] + [max(0, p) for p in problem["pad_hi"]])
    image = (problem["batch"], problem["in_channels"], *problem["input"])
    graph = helper.make_graph(
        [conv], "one_convolution", [helper.make_tensor_value_info("image", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, output_shape(problem))],
        [numpy_helper.from_array(w, "weights")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


class OneDNN:
    """Direct convolution only, since 2023. tools/peers compiles onednn.cpp, which is loaded here."""

    title = "oneDNN"

    def __init__(self, threads):
        path = os.path.join(sys.prefix, "lib", "libwinnow-onednn.so")
        if not os.path.exists(path):
            raise ImportError(f"no {path}")
        self.library = ctypes.CDLL(path)
        self.library.peer_version.restype = ctypes.c_char_p
        self.library.peer_open.restype = ctypes.c_void_p
        self.version = self.library.peer_version().decode()

    def cases(self, problem, x, w):
        keys = "input", "output", "filter", "stride", "dilation", "pad_lo", "pad_hi"
        sizes = [problem[key] for key in ("batch", "groups", "in_channels", "out_channels")]
        for key in keys:
            sizes += [d - 1 for d in problem[key]] if key == "dilation" else problem[key]
        sizes = (ctypes.c_int64 * len(sizes))(*sizes)
        for mode, layout in ("any", "native"), ("nhwc", "nhwc"), ("nchw", "nchw"), ("around", "nchw"):
            note = ctypes.create_string_buffer(128)
            handle = self.library.peer_open(problem["axes"], sizes, mode.encode(), address(x), address(w), note, ctypes.c_size_t(128))
            if handle:
                yield self.case(problem, mode, layout, ctypes.c_void_p(handle), note.value.decode())

    def case(self, problem, mode, layout, handle, implementation):
        y = aligned(*output_shape(problem))

        def result():
            self.library.peer_result(handle, address(y), ctypes.c_size_t(y.size))
            return y

        return Case(f"{mode} {implementation}", layout, lambda calls: self.library.peer_run(handle, ctypes.c_int64(calls)), result,
                    close=lambda: self.library.peer_close(handle))


class Pair(ctypes.Structure):  # nnp_size
    _fields_ = [("width", ctypes.c_size_t), ("height", ctypes.c_size_t)]


class Sides(ctypes.Structure):  # nnp_padding
    _fields_ = [(side, ctypes.c_size_t) for side in ("top", "right", "bottom", "left")]


class NNPACK:
    """As it is inside of PyTorch's library: F(6x6, 3x3) and two sizes of FFT, weights transformed beforehand."""

    title = "NNPACK"
    COMPUTE, PRECOMPUTE, REUSE = 1, 2, 3  # nnp_convolution_transform_strategy
    ALGORITHMS = ("fft8", 1), ("fft16", 2), ("wino-F63", 3)

    def __init__(self, threads):
        import torch

        self.library = ctypes.CDLL(os.path.join(os.path.dirname(torch.__file__), "lib", "libtorch_cpu.so"))
        if self.library.nnp_initialize() != 0:
            raise ImportError("NNPACK does not know this CPU")
        self.library.pthreadpool_create.restype = ctypes.c_void_p
        self.pool = ctypes.c_void_p(self.library.pthreadpool_create(ctypes.c_size_t(threads)) if threads > 1 else None)
        self.version = f"in PyTorch {torch.__version__.split('+')[0]}"

    def inference(self, problem, algorithm, strategy, x, kernel, y):
        """A call of nnp_convolution_inference with everything but scratch memory; 0 is success. Without memory it writes the
        bytes needed to size."""
        (top, left), (bottom, right) = problem["pad_lo"], problem["pad_hi"]
        pair = lambda extents: Pair(extents[1], extents[0])
        given = (algorithm, strategy, ctypes.c_size_t(problem["in_channels"]), ctypes.c_size_t(problem["out_channels"]),
                 pair(problem["input"]), Sides(top, right, bottom, left), pair(problem["filter"]), Pair(1, 1), address(x), kernel,
                 address(self.zeros), address(y))
        call, pool = self.library.nnp_convolution_inference, self.pool
        return lambda memory, size: call(*given, memory, size, 0, None, pool, None)

    def work(self, call):
        """The scratch memory that a call wants, or None where it declines."""
        size = ctypes.c_size_t(0)
        return aligned(size.value // 4 + 1) if call(None, ctypes.byref(size)) == 0 else None

    def cases(self, problem, x, w):
        plain = is_image(problem) and problem["stride"] == problem["dilation"] == [1, 1]
        if not plain or problem["groups"] != 1 or problem["batch"] != 1:
            return
        self.zeros, y = np.zeros(problem["out_channels"], np.float32), aligned(*output_shape(problem))
        for name, algorithm in self.ALGORITHMS:
            if algorithm == 3 and problem["filter"] != [3, 3]:
                continue
            case = self.case(name, problem, algorithm, x, w, y)
            if case:
                yield case

    def case(self, name, problem, algorithm, x, w, y):
        prepare = self.inference(problem, algorithm, self.PRECOMPUTE, x, address(w), y)
        transformed = self.work(prepare)
        if transformed is None or prepare(address(transformed), ctypes.byref(ctypes.c_size_t(transformed.nbytes))) != 0:
            return None
        run = self.inference(problem, algorithm, self.REUSE, x, address(transformed), y)
        scratch = self.work(run)
        if scratch is None:
            return None
        memory, size = address(scratch), ctypes.byref(ctypes.c_size_t(scratch.nbytes))
        if run(memory, size) != 0:
            return None
        hold = transformed, scratch  # addresses do not
        return Case(name, "nchw", repeat(lambda: run(memory, size)), lambda: (hold, y)[1])


class NCNN:
    title = "ncnn"

    def __init__(self, threads):
        import ncnn

        self.ncnn, self.threads, self.version = ncnn, threads, ncnn.__version__
        ncnn.set_omp_num_threads(threads)
        self.allocators = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()

    def net(self, problem, w, winograd):
        """winograd: "default", "none", or the one tile that is allowed."""
        net = self.ncnn.Net()
        net.opt.num_threads = self.threads
        net.opt.blob_allocator, net.opt.workspace_allocator = self.allocators
        for name in dir(net.opt):
            if name.startswith(("use_fp16", "use_bf16", "use_int8", "use_vulkan")):
                setattr(net.opt, name, False)
        net.opt.use_winograd_convolution = winograd != "none"
        for tile in "23", "43", "63":
            setattr(net.opt, f"use_winograd{tile}_convolution", winograd in ("default", tile))
        # 1x: width, height's number is ten larger
        (kh, kw), (dh, dw), (sh, sw), (ph, pw) = (problem[key] for key in ("filter", "dilation", "stride", "pad_lo"))
        layer = "ConvolutionDepthWise" if problem["groups"] > 1 else "Convolution"
        numbers = {0: problem["out_channels"], 1: kw, 11: kh, 2: dw, 12: dh, 3: sw, 13: sh, 4: pw, 14: ph, 5: 0, 6: w.size}
        if problem["groups"] > 1:
            numbers[7] = problem["groups"]
        words = " ".join(f"{key}={value}" for key, value in numbers.items())
        with tempfile.TemporaryDirectory() as folder:
            param, model = os.path.join(folder, "conv.param"), os.path.join(folder, "conv.bin")
            with open(param, "w") as file:
                file.write(f"7767517\n2 2\nInput image 0 1 image\n{layer} conv 1 1 image result {words}\n")
            with open(model, "wb") as file:
                file.write(bytes(4) + w.tobytes())  # tag 0: float32
            if net.load_param(param) != 0 or net.load_model(model) != 0:
                raise RuntimeError("ncnn cannot load its own format")
        return net

    def cases(self, problem, x, w):
        if not is_image(problem):
            return
        plain = [self.ncnn.Mat(np.ascontiguousarray(image)).clone() for image in x]
        lanes = next(n for n in (8, 4, 1) if problem["in_channels"] % n == 0)
        packed = []
        kinds = ["default", "none"] + (["23", "43", "63"] if is_plain_3x3(problem) else [])
        for kind in kinds:
            net = self.net(problem, w, kind)
            name = {"default": "default", "none": "no Winograd"}.get(kind, f"wino-F{kind}")
            yield self.case(name, "nchw", net, plain, 0)
            packed = packed or ([self.ncnn.convert_packing(image, lanes) for image in plain] if lanes > 1 else plain)
            yield self.case(name, "native", net, packed, 1)

    def case(self, name, layout, net, images, kind):
        """kind: of extract(), 0 gives plain float32, 1 the layout that the layer made."""
        def one(image, kind):
            extractor, out = net.create_extractor(), self.ncnn.Mat()
            extractor.input("image", image)
            extractor.extract("result", out, kind)  # the form that returns a Mat copies it, and forgets the copy
            return out

        def run(calls):
            for _ in range(calls):
                for image in images:
                    one(image, kind)

        return Case(name, layout, run, lambda: np.stack([np.array(one(image, 0)) for image in images]))


class MNN:
    """"default" takes the tile that MNN likes, which costs accuracy; "small tiles" only F(2, 3)."""

    title = "MNN"
    WINOGRAD_MEMORY_LEVEL = 3  # of setSessionHint; 1: the smallest tiles

    def __init__(self, threads):
        import _tools  # MNN's converter as a module
        import MNN as module

        self.MNN, self.convert, self.threads, self.version = module, _tools.mnnconvert, threads, module.version()

    def cases(self, problem, x, w):
        if not is_image(problem):
            return
        with tempfile.TemporaryDirectory() as folder:
            source, model = os.path.join(folder, "conv.onnx"), os.path.join(folder, "conv.mnn")
            with open(source, "wb") as file:
                file.write(onnx_model(problem, w))
            self.convert(["mnnconvert", "-f", "ONNX", "--modelFile", source, "--MNNModel", model, "--bizCode", "winnow"])
            nets = {name: self.MNN.Interpreter(model) for name in ("default", "small tiles")}
        nets["small tiles"].setSessionHint(self.WINOGRAD_MEMORY_LEVEL, 1)
        for name, net in nets.items():
            session = net.createSession({"backend": "CPU", "precision": "high", "numThread": self.threads})
            yield from self.both(name, net, session, x, output_shape(problem))

    def tensor(self, array):
        return self.MNN.Tensor(array.shape, self.MNN.Halide_Type_Float, array, self.MNN.Tensor_DimensionType_Caffe)

    def both(self, name, net, session, x, shape):
        def result():
            net.getSessionInput(session).copyFrom(self.tensor(x))  # a run may have used its memory for something else
            net.runSession(session)
            out = self.tensor(np.zeros(shape, np.float32))
            net.getSessionOutput(session).copyToHostTensor(out)
            return np.array(out.getData(), np.float32)

        yield Case(name, "nchw", repeat(lambda: net.runSession(session)), result)

        clock, began, seen = time.perf_counter_ns, [0], []

        def before(tensors, op):
            began[0] = clock()
            return True

        def after(tensors, op):
            if op.getType().startswith("Conv") and op.getType() != "ConvertTensor":
                seen.append((clock() - began[0]) / 1e3)
            return True

        def times(seconds):
            seen.clear()
            end = time.perf_counter() + seconds
            while time.perf_counter() < end or len(seen) < 3:
                net.runSessionWithCallBackInfo(session, before, after)
                if not seen:
                    return []
            return list(seen)

        yield Case(f"{name}, layer only", "native", times=times, like=name)


class OpenCV:
    title = "OpenCV"

    def __init__(self, threads):
        import cv2

        cv2.setNumThreads(threads)
        self.cv2, self.version = cv2, cv2.__version__

    def cases(self, problem, x, w):
        if not is_image(problem):
            return
        model = np.frombuffer(onnx_model(problem, w), np.uint8)
        for name, winograd in ("default", True), ("no Winograd", False):
            net = self.cv2.dnn.readNetFromONNX(model)
            net.enableWinograd(winograd)
            net.setInput(x)
            net.forward()
            yield Case(name, "nchw", repeat(net.forward), net.forward)


class ONNXRuntime:
    title = "ONNX Runtime"

    def __init__(self, threads):
        import onnxruntime

        self.runtime, self.threads, self.version = onnxruntime, threads, onnxruntime.__version__

    def session(self, model, x, y, profile=None):
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.log_severity_level = 3
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, profile
        session = self.runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        binding.bind_ortvalue_input("image", x)
        binding.bind_ortvalue_output("result", y)
        return session, binding

    def cases(self, problem, x, w):
        model = onnx_model(problem, w)
        image = self.runtime.OrtValue.ortvalue_from_numpy(x)
        room = self.runtime.OrtValue.ortvalue_from_numpy(np.zeros(output_shape(problem), np.float32))
        session, binding = self.session(model, image, room)
        yield Case("default", "nchw", repeat(lambda: session.run_with_iobinding(binding)), room.numpy)
        yield Case("default, layer only", "native", like="default",
                   times=lambda seconds: self.profiled(model, image, room, seconds))

    def profiled(self, model, image, room, seconds):
        """µs of the convolution in the library's own profile, which starts with a session and ends it."""
        with tempfile.TemporaryDirectory() as folder:
            session, binding = self.session(model, image, room, os.path.join(folder, "profile"))
            end, calls = time.perf_counter() + seconds, 0
            while time.perf_counter() < end or calls < 8:
                session.run_with_iobinding(binding)
                calls += 1
            with open(session.end_profiling()) as file:
                events = json.load(file)
        times = [event["dur"] for event in events
                 if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and event["args"]["op_name"].endswith("Conv")]
        return times[3:]  # the first ones warm up


class OpenVINO:
    title = "OpenVINO"

    def __init__(self, threads):
        import openvino

        self.openvino, self.threads, self.core = openvino, threads, openvino.Core()
        self.version = openvino.__version__.split("-")[0]

    def request(self, model, **more):
        return self.core.compile_model(model, "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False, **more}).create_infer_request()

    def cases(self, problem, x, w):
        model = self.core.read_model(onnx_model(problem, w))
        y = aligned(*output_shape(problem))
        tensor = lambda array: self.openvino.Tensor(array, shared_memory=True)
        request, profiled = self.request(model), self.request(model, PERF_COUNT=True)
        for each in request, profiled:
            each.set_input_tensor(tensor(x))
            each.set_output_tensor(tensor(y))
        yield Case("default", "nchw", repeat(request.infer), lambda: y)

        def times(seconds):
            end, seen = time.perf_counter() + seconds, []
            while time.perf_counter() < end or len(seen) < 3:
                profiled.infer()
                nodes = [node for node in profiled.profiling_info if node.node_type.endswith("Convolution")]
                if not nodes:
                    return []
                seen.append(sum(node.real_time.total_seconds() for node in nodes) * 1e6)
            return seen

        yield Case("default, layer only", "native", times=times, like="default")


LIBRARIES = {library.__name__.lower(): library for library in (OneDNN, NNPACK, NCNN, MNN, OpenCV, ONNXRuntime, OpenVINO)}
