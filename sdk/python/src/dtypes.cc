// Names of element types, as safetensors writes them, and what others call them.
#include <array>
#include <cstring>

#include "memory.h"
#include "slipway/store.h"

namespace slipway::python {
namespace {

struct Row {
  const char* name;       // safetensors
  const char* numpy;      // type string without the byte order; null: NumPy itself has no such type
  const char* type_name;  // as NumPy calls it, or ml_dtypes, which brings what NumPy has not
  uint8_t code;           // DLPack
};

constexpr std::array<Row, 17> kRows = {{
    {"BOOL", "b1", "bool", dlpack::kBool},
    {"U8", "u1", "uint8", dlpack::kUInt},
    {"I8", "i1", "int8", dlpack::kInt},
    {"U16", "u2", "uint16", dlpack::kUInt},
    {"I16", "i2", "int16", dlpack::kInt},
    {"U32", "u4", "uint32", dlpack::kUInt},
    {"I32", "i4", "int32", dlpack::kInt},
    {"U64", "u8", "uint64", dlpack::kUInt},
    {"I64", "i8", "int64", dlpack::kInt},
    {"F16", "f2", "float16", dlpack::kFloat},
    {"F32", "f4", "float32", dlpack::kFloat},
    {"F64", "f8", "float64", dlpack::kFloat},
    {"C64", "c8", "complex64", dlpack::kComplex},
    {"BF16", nullptr, "bfloat16", dlpack::kBfloat},
    {"F8_E4M3", nullptr, "float8_e4m3fn", dlpack::kFloat8E4M3Fn},
    {"F8_E5M2", nullptr, "float8_e5m2", dlpack::kFloat8E5M2},
    {"F8_E8M0", nullptr, "float8_e8m0fnu", dlpack::kFloat8E8M0Fnu},
}};

}  // namespace

uint64_t DtypeBytes(const std::string& dtype) { return slipway_dtype_bytes(slipway_dtype_from_name(dtype.c_str())); }

std::string DtypeOf(const dlpack::DataType& type) {
  for (const Row& row : kRows)
    if (type.lanes == 1 && type.code == row.code && type.bits == 8 * DtypeBytes(row.name)) return row.name;
  // Before revision 1.0 some wrote booleans as bytes; those arrive as U8, which is what they say they are.
  return {};
}

dlpack::DataType DlpackTypeOf(const std::string& dtype) {
  for (const Row& row : kRows)
    if (dtype == row.name) return {row.code, static_cast<uint8_t>(8 * DtypeBytes(dtype)), 1};
  return {0, 0, 0};
}

pybind11::dict NumpyNames() {
  pybind11::dict names;
  for (const Row& row : kRows) names[row.name] = row.type_name;
  return names;
}

std::string DtypeOfNumpy(const std::string& typestr, const std::string& name) {
  const bool native = !typestr.empty() && (typestr[0] == '<' || typestr[0] == '|' || typestr[0] == '=');
  for (const Row& row : kRows) {
    if (!native) continue;
    if (row.numpy != nullptr && typestr.substr(1) == row.numpy) return row.name;
    if (row.numpy == nullptr && name == row.type_name) return row.name;
  }
  return {};
}

}  // namespace slipway::python
