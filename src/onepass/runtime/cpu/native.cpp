// Calls like ones before, from their arguments to their loss without Python.
//
// The kernel of a small call is done long before Python has found it and autograd has called Python
// back. Here a call is known by its kind, as in call_cache.py; its kernel runs, and its node is one of
// C++. Whatever is more than that goes back to Python: the memory of large gradients, a value that
// is nan, a backward that is differentiable, or the second one.

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/utils/pybind.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <numeric>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace onepass {

using at::Tensor;
using Tensors = c10::SmallVector<Tensor, 4>;
using torch::autograd::SavedVariable;
using torch::autograd::set_history;
using torch::autograd::variable_list;

constexpr size_t kMost = 1024;  // calls of each loss

// What torch's dispatcher looks at for a tensor in the CPU's memory, where nothing else is going on.
const c10::DispatchKeySet kPlain =
    (c10::DispatchKeySet(c10::DispatchKey::CPU) |
     c10::getAutogradRelatedKeySetFromBackend(c10::BackendComponent::CPUBit) |
     c10::default_included_set) -
    c10::default_excluded_set;

// Whether the tensor is numbers in this machine's memory, as they stand there, and an operation on
// it is nothing more: under a mode, a transform, a tracer or autocast the dispatcher has more keys.
bool is_data(const Tensor& tensor) {
  const auto here = c10::impl::tls_local_dispatch_key_set();
  const auto keys = (tensor.key_set() | here.included_) - here.excluded_;
  return (keys | kPlain) == kPlain && !tensor._fw_grad(0).defined();
}

bool is_grad_needed(const Tensor& tensor) {
  return at::GradMode::is_enabled() && tensor.requires_grad();
}

// What a tensor decides of its call.
struct Kind {
  explicit Kind(const Tensor& tensor)
      : dtype(tensor.scalar_type()),
        needs_grad(is_grad_needed(tensor)),
        shape(tensor.sizes().vec()),
        stride(tensor.strides().vec()) {}

  bool is_of(const Tensor& tensor) const {
    return tensor.scalar_type() == dtype && is_grad_needed(tensor) == needs_grad &&
        tensor.sizes() == shape && tensor.strides() == stride;
  }

  at::ScalarType dtype;
  bool needs_grad;
  std::vector<int64_t> shape, stride;
};

size_t hash_of(const Tensors& tensors) {
  size_t hash = tensors.size();
  for (const Tensor& tensor : tensors) {
    hash = c10::hash_combine(hash, static_cast<size_t>(tensor.scalar_type()));
    for (const int64_t size : tensor.sizes()) {
      hash = c10::hash_combine(hash, static_cast<size_t>(size));
    }
  }
  return hash;
}

// Type and value: 1, 1.0 and True are three things.
bool are_same(PyObject* a, PyObject* b) {
  if (a == b) {
    return true;
  }
  if (Py_TYPE(a) != Py_TYPE(b)) {
    return false;
  }
  const int same = PyObject_RichCompareBool(a, b, Py_EQ);
  if (same < 0) {
    throw py::error_already_set();
  }
  return same != 0;
}

using Entry = void (*)(void*);

// The threads of torch's own OpenMP, as in threads.py: GOMP_parallel, or null where there is none.
void (*parallel)(Entry, void*, unsigned threads, unsigned flags) = nullptr;

// memory.like, and from how many bytes on it is better than torch's allocator.
py::handle like;
size_t large = SIZE_MAX;

// kernels.Recipe
struct Recipe {
  explicit Recipe(const py::object& made)
      : operands(made.attr("operands").cast<std::vector<int64_t>>()),
        gradients(made.attr("gradients").cast<std::vector<int64_t>>()),
        divisor(made.attr("divisor").cast<double>()),
        dtype(made.attr("dtype").cast<at::ScalarType>()) {
    const py::object bound = made.attr("bound");
    kernel = bound.attr("kernel");
    entry = reinterpret_cast<Entry>(kernel.attr("address").cast<int64_t>());
    partials = kernel.attr("partials").cast<size_t>();
    blocks = bound.attr("blocks").cast<size_t>();
    for (const py::handle word : bound.attr("frame")()) {
      frame.push_back(word.cast<int64_t>());
    }
    const double scale = 1.0 / divisor;
    std::memcpy(&frame[kernel.attr("last_number").cast<size_t>()], &scale, sizeof scale);
  }

  py::object kernel;  // whose code is there as long as this is
  Entry entry;
  std::vector<int64_t> frame;
  std::vector<int64_t> operands, gradients;  // where each tensor's addresses stand in it, or -1
  size_t partials, blocks;
  double divisor;
  at::ScalarType dtype;  // of the loss
};

struct Call : torch::CustomClassHolder {
  Call(const Tensors& tensors, py::tuple rest, py::object runner, py::object gradients)
      : kinds(tensors.begin(), tensors.end()),
        rest(std::move(rest)),
        runner(std::move(runner)),
        gradients(std::move(gradients)) {}

  // The last node that holds it may die in a thread of autograd's, or after Python.
  ~Call() override {
    const py::handle held[] = {
        rest.release(), runner.release(), gradients.release(),
        recipe ? recipe->kernel.release() : py::handle()};
    if (Py_IsInitialized()) {
      const py::gil_scoped_acquire gil;
      for (const py::handle object : held) {
        object.dec_ref();
      }
    }
  }

  bool is_like(const Tensors& tensors, const py::tuple& given) const {
    if (tensors.size() != kinds.size() || given.size() != kinds.size() + rest.size()) {
      return false;
    }
    for (size_t k = 0; k < kinds.size(); ++k) {
      if (!kinds[k].is_of(tensors[k])) {
        return false;
      }
    }
    for (size_t k = 0; k < rest.size(); ++k) {
      if (!are_same(PyTuple_GET_ITEM(rest.ptr(), k),
                    PyTuple_GET_ITEM(given.ptr(), kinds.size() + k))) {
        return false;
      }
    }
    return true;
  }

  std::vector<Kind> kinds;
  py::tuple rest;
  py::object runner, gradients;  // the call and its gradients by Python
  std::optional<Recipe> recipe;
  bool needs_grad = false;
};

// A loss, as `number` in operands.py makes it.
Tensor number(double value, at::ScalarType dtype) {
  Tensor made = at::detail::empty_cpu(
      {}, dtype, std::nullopt, std::nullopt, std::nullopt, std::nullopt);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, dtype, "number", [&] {
    *made.mutable_data_ptr<scalar_t>() = static_cast<scalar_t>(value);
  });
  return made;
}

// What the gradient of a tensor is written to.
Tensor empty_like(const Tensor& tensor, const Kind& kind) {
  if (tensor.nbytes() < large) {
    return at::detail::empty_strided_cpu(kind.shape, kind.stride, kind.dtype);
  }
  return py::cast<Tensor>(like(tensor));
}

// The sum of the values; the gradients that are needed are written.
double run(const Call& call, const Tensors& tensors, variable_list& written) {
  const Recipe& recipe = *call.recipe;
  c10::SmallVector<int64_t, 32> frame(recipe.frame.begin(), recipe.frame.end());
  c10::SmallVector<double, 16> partials(recipe.blocks, 0.0);
  frame[recipe.partials] = reinterpret_cast<int64_t>(partials.data());
  written.resize(tensors.size());
  for (size_t k = 0; k < tensors.size(); ++k) {
    const Kind& kind = call.kinds[k];
    frame[recipe.operands[k]] = reinterpret_cast<int64_t>(tensors[k].const_data_ptr());
    if (kind.needs_grad) {
      written[k] = empty_like(tensors[k], kind);
      frame[recipe.gradients[k]] = reinterpret_cast<int64_t>(written[k].mutable_data_ptr());
    }
  }
  const size_t threads = std::min<size_t>(at::get_num_threads(), recipe.blocks);
  if (threads > 1) {
    const py::gil_scoped_release released;
    parallel(recipe.entry, frame.data(), threads, 0);
  } else {
    recipe.entry(frame.data());
  }
  return std::accumulate(partials.begin(), partials.end(), 0.0);
}

// autograd.OnePass, for these calls.
class OnePass final : public torch::autograd::Node {
 public:
  OnePass(c10::intrusive_ptr<Call> call, at::TensorList tensors, variable_list gradients)
      : Node(torch::autograd::collect_next_edges(tensors)),
        call_(std::move(call)),
        gradients_(std::move(gradients)) {
    tensors_.reserve(tensors.size());
    for (const Tensor& tensor : tensors) {
      tensors_.emplace_back(tensor, /*is_output=*/false);
    }
  }

  variable_list apply(variable_list&& upstream) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!upstream[0].defined()) {
      return variable_list(tensors_.size());
    }
    if (at::GradMode::is_enabled() || !is_data(upstream[0])) {
      return by_python(upstream[0]);
    }
    // Released before they are returned, so that autograd takes the buffers without a copy.
    variable_list gradients = std::exchange(gradients_, {});
    const double factor = upstream[0].item<double>();
    // A half type must be scaled before it is rounded; and this may be a second backward.
    if (gradients.empty() || (factor != 1.0 && c10::elementSize(call_->recipe->dtype) == 2)) {
      return by_python(upstream[0]);
    }
    for (Tensor& gradient : gradients) {
      if (factor != 1.0 && gradient.defined()) {
        gradient.mul_(factor);
      }
    }
    return gradients;
  }

  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (SavedVariable& tensor : tensors_) {
      tensor.reset_data();
    }
    gradients_.clear();
  }

  std::string name() const override {
    return "OnePassBackward";
  }

 private:
  variable_list by_python(const Tensor& upstream) {
    variable_list tensors;
    for (const SavedVariable& tensor : tensors_) {
      tensors.push_back(tensor.unpack());
    }
    const py::gil_scoped_acquire gil;
    py::tuple given(tensors.size()), needs_grad(tensors.size());
    for (size_t k = 0; k < tensors.size(); ++k) {
      given[k] = py::cast(tensors[k]);
      needs_grad[k] = py::cast(call_->kinds[k].needs_grad);
    }
    variable_list gradients;
    for (const py::handle gradient : call_->gradients(given, needs_grad, upstream)) {
      gradients.push_back(gradient.is_none() ? Tensor() : py::cast<Tensor>(gradient));
    }
    return gradients;
  }

  c10::intrusive_ptr<Call> call_;
  std::vector<SavedVariable> tensors_;
  variable_list gradients_;
};

// The calls of one loss.
class Calls {
 public:
  // The loss, if there was a call of the same kind.
  py::object find(const py::tuple& given) const {
    const Tensors tensors = leading(given);
    const auto [first, last] = known_.equal_range(hash_of(tensors));
    for (auto it = first; it != last; ++it) {
      if (it->second->is_like(tensors, given)) {
        return evaluated(it->second, tensors, given);
      }
    }
    return py::none();
  }

  // Remember a call that begins with so many tensors: how Python runs it, its gradients by Python,
  // and how that is done here, if it can be.
  void add(const py::tuple& given, size_t count, py::object runner, py::object gradients,
           const py::object& recipe) {
    const Tensors tensors = leading(given);
    if (tensors.size() != count) {
      return;  // a kind of tensor that this file does not know
    }
    py::tuple rest = given[py::slice(count, given.size(), 1)];
    auto call = c10::make_intrusive<Call>(
        tensors, std::move(rest), std::move(runner), std::move(gradients));
    if (!recipe.is_none()) {
      call->recipe.emplace(recipe);
      TORCH_CHECK(call->recipe->operands.size() == count, "a recipe of other tensors");
    }
    for (size_t k = 0; k < count; ++k) {
      const bool needs_grad = call->kinds[k].needs_grad;
      TORCH_CHECK(!needs_grad || !call->recipe || call->recipe->gradients.at(k) >= 0, "no gradient");
      call->needs_grad |= needs_grad;
    }
    if (known_.size() >= kMost) {
      known_.clear();
    }
    known_.emplace(hash_of(tensors), std::move(call));
  }

  int traverse(visitproc visit, void* arg) const {
    for (const auto& [_, call] : known_) {
      if (call.use_count() == 1) {  // else a node holds it, too, whom Python does not see
        Py_VISIT(call->runner.ptr());
        Py_VISIT(call->gradients.ptr());
      }
    }
    return 0;
  }

  void clear() {
    known_.clear();
  }

 private:
  // The tensors that a call begins with.
  static Tensors leading(const py::tuple& given) {
    Tensors tensors;
    for (const py::handle thing : given) {
      if (!THPVariable_CheckExact(thing.ptr()) || !is_data(THPVariable_Unpack(thing.ptr()))) {
        break;
      }
      tensors.push_back(THPVariable_Unpack(thing.ptr()));
    }
    return tensors;
  }

  static py::object evaluated(
      const c10::intrusive_ptr<Call> call, const Tensors& tensors, const py::tuple& given) {
    variable_list gradients;
    // Autograd saves no tensor made in inference mode; Python saves its copy.
    const bool unsavable = call->needs_grad && std::any_of(tensors.begin(), tensors.end(), [](auto& tensor) {
      return tensor.is_inference();
    });
    const bool runs = call->recipe && !unsavable && (parallel || call->recipe->blocks == 1);
    const double total = runs ? run(*call, tensors, gradients) : NAN;
    if (std::isnan(total)) {
      gradients.clear();
      return call->runner(given);  // which says why, where it is to be refused
    }
    Tensor loss = number(total / call->recipe->divisor, call->recipe->dtype);
    if (call->needs_grad) {
      set_history(loss, c10::make_intrusive<OnePass>(call, tensors, std::move(gradients)));
    }
    return py::reinterpret_steal<py::object>(THPVariable_Wrap(std::move(loss)));
  }

  std::unordered_multimap<size_t, c10::intrusive_ptr<Call>> known_;
};

// A loss holds its calls, and they hold it: Python's collector must see them.
void see_cycles(PyHeapTypeObject* heap_type) {
  PyTypeObject* type = &heap_type->ht_type;
  type->tp_flags |= Py_TPFLAGS_HAVE_GC;
  type->tp_traverse = [](PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    return py::detail::is_holder_constructed(self)
        ? py::cast<Calls&>(py::handle(self)).traverse(visit, arg)
        : 0;
  };
  type->tp_clear = [](PyObject* self) {
    py::cast<Calls&>(py::handle(self)).clear();
    return 0;
  };
}

}  // namespace onepass

PYBIND11_MODULE(onepass_native, module) {
  using onepass::Calls;
  module.def("use_threads", [](int64_t address) {
    onepass::parallel = reinterpret_cast<decltype(onepass::parallel)>(address);
  });
  module.def("use_memory", [](py::object function, size_t least) {
    onepass::like = function.release();  // for as long as this module lives
    onepass::large = least;
  });
  py::class_<Calls>(module, "Calls", py::custom_type_setup(onepass::see_cycles))
      .def(py::init<>())
      .def_property_readonly_static("takes_recipes", [](py::object) { return true; })
      .def("find", torch::wrap_pybind_function(&Calls::find))
      .def("add", torch::wrap_pybind_function(&Calls::add));
}
