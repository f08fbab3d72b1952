// oneDNN's convolution as a C interface that bench/peers/libraries.py loads with ctypes; tools/peers compiles it.
//
// In: the sizes, plain float32 arrays, and who decides the layout of activations: the library ("any"), the caller ("nhwc",
// "nchw"), or the library between two conversions ("around": NCHW in and out, as a caller sees it). Out: an object that runs.
// Always holds: weights are in the layout that the primitive asks for, converted once at opening; peer_run returns when the
// results are there; nothing is thrown across the interface.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

namespace {

using dnnl::memory;
using dims = memory::dims;

// One primitive with its arguments; a run is a list of these.
struct step {
  dnnl::primitive what;
  std::unordered_map<int, memory> with;
};

struct convolution {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  memory input, output;              // as the caller has them: NCHW
  memory inner_input, inner_output;  // as the primitive wants them
  memory weights;
  std::vector<step> steps;

  void convert(memory &from, memory &to) {
    dnnl::reorder(from, to).execute(stream, from, to);
    stream.wait();
  }
};

// Row-major strides of `shape` with axis 1, the channels, moved behind the others when `last`.
memory::desc plain(const dims &shape, bool last) {
  std::vector<size_t> order;
  for (size_t i = 0; i < shape.size(); ++i)
    if (i != 1 || !last) order.push_back(i);
  if (last) order.push_back(1);
  dims strides(shape.size());
  int64_t next = 1;
  for (size_t i = order.size(); i-- > 0;) {
    strides[order[i]] = next;
    next *= shape[order[i]];
  }
  return {shape, memory::data_type::f32, strides};
}

memory::desc free_layout(const dims &shape) {
  return {shape, memory::data_type::f32, memory::format_tag::any};
}

void build(convolution &c, int axes, const int64_t *sizes, const std::string &mode, float *x, float *w, std::string &note) {
  const int64_t batch = sizes[0], groups = sizes[1], in = sizes[2], out = sizes[3];
  auto axis = [&](int i) { return dims(sizes + 4 + i * axes, sizes + 4 + (i + 1) * axes); };
  auto shape = [&](dims lead, int i) {
    for (int64_t extent : axis(i)) lead.push_back(extent);
    return lead;
  };
  const dims xs = shape({batch, in}, 0), ys = shape({batch, out}, 1);
  const dims ws = groups > 1 ? shape({groups, out / groups, in / groups}, 2) : shape({out, in}, 2);
  const bool free = mode == "any" || mode == "around", last = mode == "nhwc";
  const dnnl::convolution_forward::primitive_desc chosen(
      c.engine, dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, free ? free_layout(xs) : plain(xs, last),
      free_layout(ws), free ? free_layout(ys) : plain(ys, last), axis(3), axis(4), axis(5), axis(6));
  note = chosen.impl_info_str();

  c.input = memory(plain(xs, false), c.engine, x);
  c.output = memory(plain(ys, false), c.engine);
  memory given(plain(ws, false), c.engine, w);
  c.inner_input = memory(chosen.src_desc(), c.engine);
  c.inner_output = memory(chosen.dst_desc(), c.engine);
  c.weights = memory(chosen.weights_desc(), c.engine);
  c.convert(given, c.weights);
  c.convert(c.input, c.inner_input);

  const bool in_differs = chosen.src_desc() != c.input.get_desc(), out_differs = chosen.dst_desc() != c.output.get_desc();
  if (mode == "around" && in_differs)
    c.steps.push_back({dnnl::reorder(c.input, c.inner_input), {{DNNL_ARG_FROM, c.input}, {DNNL_ARG_TO, c.inner_input}}});
  c.steps.push_back({dnnl::convolution_forward(chosen),
                     {{DNNL_ARG_SRC, c.inner_input}, {DNNL_ARG_WEIGHTS, c.weights}, {DNNL_ARG_DST, c.inner_output}}});
  if (mode == "around" && out_differs)
    c.steps.push_back({dnnl::reorder(c.inner_output, c.output), {{DNNL_ARG_FROM, c.inner_output}, {DNNL_ARG_TO, c.output}}});
}

}  // namespace

extern "C" {

const char *peer_version() {
  static char text[32];
  const dnnl_version_t *v = dnnl_version();
  snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
  return text;
}

// sizes: batch, groups, channels in, channels out, then `axes` numbers each of input, output, filter, stride, dilation (0 is
// dense), padding before, padding behind. `note` receives the implementation's name, or why there is none (NULL returned).
void *peer_open(int axes, const int64_t *sizes, const char *mode, float *x, float *w, char *note, size_t room) {
  std::string text;
  auto c = std::make_unique<convolution>();
  try {
    build(*c, axes, sizes, mode, x, w, text);
  } catch (const dnnl::error &e) {
    text = e.what();
    c.reset();
  } catch (const std::exception &e) {
    text = e.what();
    c.reset();
  }
  snprintf(note, room, "%s", text.c_str());
  return c.release();
}

void peer_run(void *handle, int64_t calls) {
  auto &c = *static_cast<convolution *>(handle);
  for (int64_t i = 0; i < calls; ++i)
    for (step &s : c.steps) s.what.execute(c.stream, s.with);
  c.stream.wait();
}

// The result of the last run as plain NCHW.
void peer_result(void *handle, float *y, size_t count) {
  auto &c = *static_cast<convolution *>(handle);
  c.convert(c.inner_output, c.output);
  memcpy(y, c.output.get_data_handle(), count * sizeof *y);
}

void peer_close(void *handle) { delete static_cast<convolution *>(handle); }
}
