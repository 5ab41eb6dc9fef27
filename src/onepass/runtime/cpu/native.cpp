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
#include <tuple>
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

// Numbers of which all in this range, but 0 and infinity, make calls of one kind.
using Range = std::tuple<size_t, double, double, bool, bool>;  // place, bounds, whether these are out

// The number that an argument is, nan if it is none.
double number_of(PyObject* given) {
  if (PyFloat_Check(given)) {
    return PyFloat_AS_DOUBLE(given);
  }
  if (!PyLong_CheckExact(given)) {
    return NAN;
  }
  const double value = PyLong_AsDouble(given);
  if (value == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    return NAN;
  }
  return value;
}

bool is_any(PyObject* given, const Range& range) {
  const auto& [_, low, high, low_is_out, high_is_out] = range;
  const double value = number_of(given);
  return std::isfinite(value) && value != 0.0 && (low_is_out ? value > low : value >= low) &&
      (high_is_out ? value < high : value <= high);
}

// recipes.Recipe
struct Recipe {
  using Pairs = std::vector<std::pair<size_t, size_t>>;  // places in the frame, and in the arguments

  explicit Recipe(const py::object& made)
      : operands(made.attr("operands").cast<Pairs>()),
        gradients(made.attr("gradients").cast<Pairs>()),
        numbers(made.attr("numbers").cast<Pairs>()),
        divisor(made.attr("divisor").cast<double>()),
        normalizer(made.attr("normalizer").cast<int64_t>()),
        counting(made.attr("counting").cast<int64_t>()),
        repeats(made.attr("repeats").cast<double>()),
        dtype(made.attr("dtype").cast<at::ScalarType>()) {
    const py::object launch = made.attr("launch");
    kernel = launch.attr("kernel");
    entry = reinterpret_cast<Entry>(kernel.attr("address").cast<int64_t>());
    partials = kernel.attr("partials").cast<size_t>();
    scale = kernel.attr("first_number").cast<size_t>() + kernel.attr("numbers").cast<size_t>() - 1;
    blocks = launch.attr("blocks").cast<size_t>();
    for (const py::handle word : launch.attr("frame")()) {
      frame.push_back(word.cast<int64_t>());
    }
    using Constants = std::vector<std::pair<size_t, double>>;
    for (const auto& [place, value] : made.attr("constants").cast<Constants>()) {
      std::memcpy(&frame[place], &value, sizeof value);
    }
  }

  // What the sum is divided by, nan if it is nothing that may be.
  double divisor_of(const py::tuple& given) const {
    if (normalizer >= 0) {
      PyObject* number = PyTuple_GET_ITEM(given.ptr(), normalizer);
      const double value = THPVariable_Check(number)
          ? THPVariable_Unpack(number).item<double>() : number_of(number);
      return value >= 0.0 ? value : NAN;
    }
    if (counting < 0) {
      return divisor;
    }
    // As reduce.summed does it.
    const Tensor& weight = THPVariable_Unpack(PyTuple_GET_ITEM(given.ptr(), counting));
    std::optional<at::ScalarType> wide;
    if (weight.is_floating_point()) {
      wide = c10::promoteTypes(weight.scalar_type(), at::kFloat);
    }
    Tensor sum = at::sum(weight.detach(), wide);
    if (repeats != 1.0) {
      sum = at::mul(sum, at::Scalar(repeats));
    }
    return sum.item<double>();
  }

  py::object kernel;  // whose code is there as long as this is
  Entry entry;
  std::vector<int64_t> frame;
  Pairs operands, gradients, numbers;
  size_t partials, scale, blocks;
  double divisor;  // unless there is a
  int64_t normalizer;  // or a weight that is summed up for it
  int64_t counting;
  double repeats;
  at::ScalarType dtype;  // of the loss
};

// The arguments of a call that are tensors, and where each of them stands.
struct Given {
  Tensors tensors;
  c10::SmallVector<size_t, 4> places;
};

struct Call : torch::CustomClassHolder {
  Call(const Given& given, py::tuple all, const std::vector<Range>& ranges, py::object runner,
       py::object gradients)
      : kinds(given.tensors.begin(), given.tensors.end()),
        places(given.places.begin(), given.places.end()),
        arguments(std::move(all)),
        runner(std::move(runner)),
        gradients(std::move(gradients)) {
    for (const Range& range : ranges) {
      if (is_any(PyTuple_GET_ITEM(arguments.ptr(), std::get<0>(range)), range)) {
        numbers.push_back(range);
      }
    }
    for (size_t k = 0; k < arguments.size(); ++k) {
      const bool is_number = std::any_of(numbers.begin(), numbers.end(), [k](auto& range) {
        return std::get<0>(range) == k;
      });
      if (!is_number && std::find(places.begin(), places.end(), k) == places.end()) {
        words.push_back(k);
      }
    }
    needs_grad = std::any_of(kinds.begin(), kinds.end(), [](auto& kind) { return kind.needs_grad; });
  }

  // The last node that holds it may die in a thread of autograd's, or after Python.
  ~Call() override {
    const py::handle held[] = {
        arguments.release(), runner.release(), gradients.release(),
        recipe ? recipe->kernel.release() : py::handle()};
    if (Py_IsInitialized()) {
      const py::gil_scoped_acquire gil;
      for (const py::handle object : held) {
        object.dec_ref();
      }
    }
  }

  bool is_like(const Given& given, const py::tuple& all) const {
    if (all.size() != arguments.size() || given.places.size() != places.size() ||
        !std::equal(places.begin(), places.end(), given.places.begin())) {
      return false;
    }
    for (size_t k = 0; k < kinds.size(); ++k) {
      if (!kinds[k].is_of(given.tensors[k])) {
        return false;
      }
    }
    for (const Range& range : numbers) {
      if (!is_any(PyTuple_GET_ITEM(all.ptr(), std::get<0>(range)), range)) {
        return false;
      }
    }
    for (const size_t k : words) {
      if (!are_same(PyTuple_GET_ITEM(arguments.ptr(), k), PyTuple_GET_ITEM(all.ptr(), k))) {
        return false;
      }
    }
    return true;
  }

  std::vector<Kind> kinds;  // of its tensors
  std::vector<size_t> places;
  std::vector<Range> numbers;  // those that may be others in a call of this kind
  std::vector<size_t> words;  // the places of all that must be the same
  py::tuple arguments;  // with None for tensors
  py::object runner, gradients;  // the call and its gradients by Python
  std::optional<Recipe> recipe;
  bool needs_grad;
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

// The sum of the values; the gradients that are needed are written, one for each tensor.
double run(const Call& call, const Given& given, const py::tuple& all, double divisor,
           variable_list& written) {
  const Recipe& recipe = *call.recipe;
  c10::SmallVector<int64_t, 32> frame(recipe.frame.begin(), recipe.frame.end());
  c10::SmallVector<double, 16> partials(recipe.blocks, 0.0);
  frame[recipe.partials] = reinterpret_cast<int64_t>(partials.data());
  const auto tensor_at = [&](size_t place) {
    return std::find(given.places.begin(), given.places.end(), place) - given.places.begin();
  };
  for (const auto& [slot, place] : recipe.operands) {
    frame[slot] = reinterpret_cast<int64_t>(given.tensors[tensor_at(place)].const_data_ptr());
  }
  written.resize(given.tensors.size());
  for (const auto& [slot, place] : recipe.gradients) {
    const size_t k = tensor_at(place);
    written[k] = empty_like(given.tensors[k], call.kinds[k]);
    frame[slot] = reinterpret_cast<int64_t>(written[k].mutable_data_ptr());
  }
  for (const auto& [slot, place] : recipe.numbers) {
    const double value = number_of(PyTuple_GET_ITEM(all.ptr(), place));
    std::memcpy(&frame[slot], &value, sizeof value);
  }
  const double scale = 1.0 / divisor;
  std::memcpy(&frame[recipe.scale], &scale, sizeof scale);
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
  OnePass(c10::intrusive_ptr<Call> call, at::TensorList tensors, variable_list gradients,
          std::vector<double> numbers)
      : Node(torch::autograd::collect_next_edges(tensors)),
        call_(std::move(call)),
        gradients_(std::move(gradients)),
        numbers_(std::move(numbers)) {
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
    const size_t count = call_->arguments.size();
    py::tuple given(count), needs_grad(count);
    for (size_t k = 0; k < count; ++k) {
      given[k] = numbers_.empty() || std::isnan(numbers_[k]) ? py::object(call_->arguments[k]) : py::cast(numbers_[k]);
      needs_grad[k] = py::bool_(false);
    }
    for (size_t k = 0; k < tensors.size(); ++k) {
      given[call_->places[k]] = py::cast(tensors[k]);
      needs_grad[call_->places[k]] = py::bool_(call_->kinds[k].needs_grad);
    }
    const py::object found = call_->gradients(given, needs_grad, upstream);
    variable_list gradients;
    for (const size_t place : call_->places) {
      const py::object gradient = found[py::int_(place)];
      gradients.push_back(gradient.is_none() ? Tensor() : py::cast<Tensor>(gradient));
    }
    return gradients;
  }

  c10::intrusive_ptr<Call> call_;
  std::vector<SavedVariable> tensors_;
  variable_list gradients_;
  std::vector<double> numbers_;  // of this call, nan for arguments that are none, or empty
};

// The calls of one loss.
class Calls {
 public:
  explicit Calls(std::vector<Range> ranges) : ranges_(std::move(ranges)) {}

  // The loss, if there was a call of the same kind.
  py::object find(const py::tuple& all) const {
    const std::optional<Given> given = tensors_of(all);
    if (given) {
      const auto [first, last] = known_.equal_range(hash_of(given->tensors));
      for (auto it = first; it != last; ++it) {
        if (it->second->is_like(*given, all)) {
          return evaluated(it->second, *given, all);
        }
      }
    }
    return py::none();
  }

  // Remember a call: how Python runs it, its gradients by Python, and how that is done here, if it
  // can be.
  void add(const py::tuple& all, py::object runner, py::object gradients,
           const py::object& recipe) {
    const std::optional<Given> given = tensors_of(all);
    if (!given) {
      return;
    }
    py::tuple arguments(all.size());
    for (size_t k = 0; k < all.size(); ++k) {
      arguments[k] = all[k];
    }
    for (const size_t place : given->places) {
      arguments[place] = py::none();
    }
    auto call = c10::make_intrusive<Call>(
        *given, std::move(arguments), ranges_, std::move(runner), std::move(gradients));
    if (!recipe.is_none()) {
      call->recipe.emplace(recipe);
      const size_t needed = std::count_if(call->kinds.begin(), call->kinds.end(), [](auto& kind) {
        return kind.needs_grad;
      });
      TORCH_CHECK(call->recipe->gradients.size() == needed, "gradients of other tensors");
    }
    if (known_.size() >= kMost) {
      known_.clear();
    }
    known_.emplace(hash_of(given->tensors), std::move(call));
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
  // The tensors among all arguments; none if one of them is of a kind that this file does not know.
  static std::optional<Given> tensors_of(const py::tuple& all) {
    Given given;
    for (size_t k = 0; k < all.size(); ++k) {
      PyObject* thing = PyTuple_GET_ITEM(all.ptr(), k);
      if (THPVariable_CheckExact(thing)) {
        if (!is_data(THPVariable_Unpack(thing))) {
          return std::nullopt;
        }
        given.tensors.push_back(THPVariable_Unpack(thing));
        given.places.push_back(k);
      }
    }
    return given;
  }

  // The numbers of this call that may be others in the next, nan for all other arguments.
  static std::vector<double> numbers_of(const Call& call, const py::tuple& all) {
    if (call.numbers.empty()) {
      return {};
    }
    std::vector<double> numbers(all.size(), NAN);
    for (const Range& range : call.numbers) {
      const size_t place = std::get<0>(range);
      numbers[place] = number_of(PyTuple_GET_ITEM(all.ptr(), place));
    }
    return numbers;
  }

  py::object evaluated(
      const c10::intrusive_ptr<Call> call, const Given& given, const py::tuple& all) const {
    variable_list gradients;
    // Autograd saves no tensor made in inference mode; Python saves its copy.
    const bool unsavable = call->needs_grad &&
        std::any_of(given.tensors.begin(), given.tensors.end(), [](auto& tensor) {
          return tensor.is_inference();
        });
    const bool runs = call->recipe && !unsavable && (parallel || call->recipe->blocks == 1);
    const double divisor = runs ? call->recipe->divisor_of(all) : NAN;
    const double total = std::isnan(divisor) ? NAN : run(*call, given, all, divisor, gradients);
    if (std::isnan(total)) {
      gradients.clear();
      return call->runner(all);  // which says why, where it is to be refused
    }
    Tensor loss = number(total / divisor, call->recipe->dtype);
    if (call->needs_grad) {
      set_history(loss, c10::make_intrusive<OnePass>(
          call, given.tensors, std::move(gradients), numbers_of(*call, all)));
    }
    return py::reinterpret_steal<py::object>(THPVariable_Wrap(std::move(loss)));
  }

  std::vector<Range> ranges_;
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
      .def(py::init<std::vector<onepass::Range>>())
      .def_property_readonly_static("takes_recipes", [](py::object) { return true; })
      .def("find", torch::wrap_pybind_function(&Calls::find))
      .def("add", torch::wrap_pybind_function(&Calls::add));
}
