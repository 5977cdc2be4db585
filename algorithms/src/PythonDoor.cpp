// Python first: it sets macros that change the standard headers.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "PythonDoor.h"

#include <optional>
#include <tuple>

namespace k4calofast {

namespace {

  constexpr const char* doorModule = "k4calofast.gaudi";

  /// Python's global lock for as long as this lives. k4run gives the lock up while events run.
  class Gil {
  public:
    Gil() : m_state(PyGILState_Ensure()) {}
    Gil(const Gil&) = delete;
    Gil& operator=(const Gil&) = delete;
    ~Gil() { PyGILState_Release(m_state); }

  private:
    PyGILState_STATE m_state;
  };

  struct Release {
    void operator()(PyObject* object) const { Py_XDECREF(object); }
  };
  /// A reference to a Python object.
  using Object = std::unique_ptr<PyObject, Release>;

  std::string text(PyObject* object) {
    const Object string{object ? PyObject_Str(object) : nullptr};
    const char* utf8 = string ? PyUnicode_AsUTF8(string.get()) : nullptr;
    if (!utf8) {
      PyErr_Clear();
      return "(unprintable)";
    }
    return utf8;
  }

  std::string attribute(PyObject* object, const char* name) {
    const Object value{PyObject_GetAttrString(object, name)};
    return text(value.get());
  }

  /// Throws what Python has raised. The package's own errors are sentences; others keep their type.
  [[noreturn]] void raise() {
    PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    const Object types{type}, values{value}, traces{trace};
    if (!type) {
      throw PythonError("Python failed without saying why");
    }
    const std::string message = text(value);
    if (attribute(type, "__module__") == "k4calofast.exceptions") {
      throw PythonError(message);
    }
    throw PythonError(attribute(type, "__name__") + ": " + message);
  }

  Object checked(PyObject* object) {
    if (!object) {
      raise();
    }
    return Object{object};
  }

  std::vector<std::string> texts(PyObject* objects) {
    const Object sequence = checked(PySequence_Fast(objects, "a list of texts is needed"));
    std::vector<std::string> result;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence.get()); ++i) {
      result.push_back(text(PySequence_Fast_GET_ITEM(sequence.get(), i)));
    }
    return result;
  }

  PyObject* toPython(const std::string& value) {
    return PyUnicode_FromStringAndSize(value.data(), static_cast<Py_ssize_t>(value.size()));
  }
  PyObject* toPython(bool value) { return PyBool_FromLong(value); }
  PyObject* toPython(std::int64_t value) { return PyLong_FromLongLong(value); }
  PyObject* toPython(int value) { return PyLong_FromLong(value); }
  PyObject* toPython(std::uint64_t value) { return PyLong_FromUnsignedLongLong(value); }
  PyObject* toPython(double value) { return PyFloat_FromDouble(value); }
  template <typename T>
  PyObject* toPython(const std::vector<T>& values) {
    Object list = checked(PyList_New(0));
    for (const auto& value : values) {
      if (PyList_Append(list.get(), checked(toPython(value)).get()) != 0) {
        raise();
      }
    }
    return list.release();
  }

  void setItem(const Object& dictionary, const std::string& key, const Object& value) {
    if (PyDict_SetItemString(dictionary.get(), key.c_str(), value.get()) != 0) {
      raise();
    }
  }

  Object import(const char* name) {
    PyObject* module = PyImport_ImportModule(name);
    if (!module && PyErr_ExceptionMatches(PyExc_ImportError)) {
      try {
        raise();
      } catch (const PythonError& error) {
        throw PythonError(std::string("the Python of this job cannot import ") + name + " (" + error.what() +
                          "): install k4calofast there with `pip install`, or add where it is installed to PYTHONPATH");
      }
    }
    return checked(module);
  }

  /// A view of a column for Python.
  Object view(const Columns::Column& column) {
    Py_ssize_t shape[2] = {static_cast<Py_ssize_t>(column.items) / column.width, column.width};
    const auto size = static_cast<Py_ssize_t>(column.itemSize);
    Py_ssize_t strides[2] = {column.width * size, size};
    // memoryview has no views of nothing.
    static const double nothing = 0;
    Py_buffer buffer{};
    buffer.buf = const_cast<void*>(column.items ? column.data : &nothing);
    buffer.len = static_cast<Py_ssize_t>(column.items) * size;
    buffer.itemsize = size;
    buffer.readonly = 1;
    buffer.ndim = column.width == 1 ? 1 : 2;
    // Python keeps this pointer: it must not die with this function.
    buffer.format = const_cast<char*>(column.format);
    buffer.shape = shape;
    buffer.strides = strides;
    return checked(PyMemoryView_FromBuffer(&buffer));
  }

} // namespace

/// Arrays that Python keeps for us, by name.
struct Arrays::Buffers {
  Buffers() = default;
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;
  ~Buffers() {
    if (Py_IsInitialized()) {
      const Gil gil;
      for (auto& [name, buffer] : byName) {
        PyBuffer_Release(&buffer);
      }
    }
  }
  std::map<std::string, Py_buffer, std::less<>> byName;
};

std::pair<const void*, std::size_t> Arrays::find(std::string_view name, std::string_view format, std::size_t size,
                                                 int width) const {
  const auto found = m_buffers->byName.find(name);
  if (found == m_buffers->byName.end()) {
    throw PythonError("Python gave no array '" + std::string(name) + "'");
  }
  const Py_buffer& buffer = found->second;
  // numpy calls 64 bits 'l' and 'L' where C does.
  const std::string_view given = buffer.format ? buffer.format : "B";
  const std::string_view plain = given == "l" ? "q" : given == "L" ? "Q" : given;
  const bool isWide = width > 1 ? buffer.ndim == 2 && buffer.shape[1] == width : buffer.ndim == 1;
  if (plain != format || static_cast<std::size_t>(buffer.itemsize) != size || !isWide) {
    throw PythonError("Python's array '" + std::string(name) + "' has format '" + std::string(given) + "' and " +
                      std::to_string(buffer.ndim) + " dimensions, not '" + std::string(format) + "' and rows of " +
                      std::to_string(width));
  }
  return {buffer.buf, static_cast<std::size_t>(buffer.len)};
}

void PythonDoor::open(const std::string& kind, const PropertyValues& properties) {
  if (!Py_IsInitialized()) {
    // A job without k4run: start Python, and give up its lock as k4run does.
    Py_InitializeEx(0);
    PyEval_SaveThread();
  }
  const Gil gil;
  const Object module = import(doorModule);
  const Object dictionary = checked(PyDict_New());
  for (const auto& [name, value] : properties) {
    setItem(dictionary, name, checked(std::visit([](const auto& v) { return toPython(v); }, value)));
  }
  m_component = checked(PyObject_CallMethod(module.get(), "create", "sO", kind.c_str(), dictionary.get())).release();
}

std::map<std::string, std::vector<std::string>> PythonDoor::outputs() const {
  const Gil gil;
  const Object outputs = checked(PyObject_CallMethod(static_cast<PyObject*>(m_component), "outputs", nullptr));
  std::map<std::string, std::vector<std::string>> result;
  PyObject *key = nullptr, *value = nullptr;
  for (Py_ssize_t at = 0; PyDict_Next(outputs.get(), &at, &key, &value);) {
    result[text(key)] = texts(value);
  }
  return result;
}

std::map<std::string, std::string> PythonDoor::metadata() const {
  const Gil gil;
  const Object metadata = checked(PyObject_CallMethod(static_cast<PyObject*>(m_component), "metadata", nullptr));
  std::map<std::string, std::string> result;
  PyObject *key = nullptr, *value = nullptr;
  for (Py_ssize_t at = 0; PyDict_Next(metadata.get(), &at, &key, &value);) {
    result[text(key)] = text(value);
  }
  return result;
}

Arrays PythonDoor::execute(const Columns& columns) const {
  auto buffers = std::make_shared<Arrays::Buffers>();
  {
    const Gil gil;
    const Object dictionary = checked(PyDict_New());
    for (const auto& column : columns.all()) {
      setItem(dictionary, column.name, view(column));
    }
    const Object arrays =
        checked(PyObject_CallMethod(static_cast<PyObject*>(m_component), "execute", "O", dictionary.get()));
    PyObject *key = nullptr, *value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(arrays.get(), &at, &key, &value);) {
      Py_buffer buffer{};
      if (PyObject_GetBuffer(value, &buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) {
        raise();
      }
      buffers->byName.emplace(text(key), buffer);
    }
  }
  Arrays result;
  result.m_buffers = std::move(buffers);
  return result;
}

std::vector<std::string> PythonDoor::finish() const {
  if (!m_component) {
    return {};
  }
  const Gil gil;
  return texts(checked(PyObject_CallMethod(static_cast<PyObject*>(m_component), "finish", nullptr)).get());
}

void PythonDoor::close() {
  if (m_component && Py_IsInitialized()) {
    const Gil gil;
    Py_DECREF(static_cast<PyObject*>(m_component));
  }
  m_component = nullptr;
}

} // namespace k4calofast
