#include "tools/conform/elf.h"

#include <elf.h>

#include <cstring>
#include <fstream>
#include <iterator>

namespace slipway::conform {
namespace {

// Every access is checked: the file is somebody else's.
class File {
 public:
  explicit File(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  template <typename T>
  bool Get(uint64_t offset, T& out) const {
    if (offset > bytes_.size() || sizeof(T) > bytes_.size() - offset) return false;
    std::memcpy(&out, bytes_.data() + offset, sizeof(T));
    return true;
  }
  std::string Text(uint64_t offset, uint64_t end) const {
    if (end > bytes_.size()) end = bytes_.size();
    if (offset >= end) return {};
    return std::string(bytes_.data() + offset, strnlen(bytes_.data() + offset, end - offset));
  }

 private:
  std::vector<char> bytes_;
};

struct Section {
  Elf64_Shdr header{}, strings{};
};

bool FindSection(const File& file, const Elf64_Ehdr& elf, uint32_t type, Section& out) {
  for (uint64_t i = 0; i < elf.e_shnum; ++i) {
    if (!file.Get(elf.e_shoff + i * sizeof(Elf64_Shdr), out.header)) return false;
    if (out.header.sh_type != type) continue;
    return file.Get(elf.e_shoff + uint64_t{out.header.sh_link} * sizeof(Elf64_Shdr), out.strings);
  }
  return false;
}

std::string Name(const File& file, const Section& s, uint64_t offset) {
  return file.Text(s.strings.sh_offset + offset, s.strings.sh_offset + s.strings.sh_size);
}

}  // namespace

ElfSymbols ReadElf(const std::string& path) {
  ElfSymbols out;
  const File file(path);
  Elf64_Ehdr elf;
  if (!file.Get(0, elf) || std::memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0) return out;
  if (elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_ident[EI_DATA] != ELFDATA2LSB) return out;
  Section symbols;
  if (FindSection(file, elf, SHT_DYNSYM, symbols)) {
    for (uint64_t i = 1; i < symbols.header.sh_size / sizeof(Elf64_Sym); ++i) {
      Elf64_Sym s;
      if (!file.Get(symbols.header.sh_offset + i * sizeof(s), s)) break;
      const unsigned bind = ELF64_ST_BIND(s.st_info), visibility = ELF64_ST_VISIBILITY(s.st_other);
      const std::string name = Name(file, symbols, s.st_name);
      if (s.st_shndx == SHN_UNDEF) {
        if (bind == STB_GLOBAL) out.undefined.push_back(name);
      } else if (s.st_shndx != SHN_ABS && bind != STB_LOCAL &&
                 (visibility == STV_DEFAULT || visibility == STV_PROTECTED)) {
        out.exported.push_back(name);
      }
    }
  }
  Section dynamic;
  if (FindSection(file, elf, SHT_DYNAMIC, dynamic)) {
    for (uint64_t i = 0; i < dynamic.header.sh_size / sizeof(Elf64_Dyn); ++i) {
      Elf64_Dyn d;
      if (!file.Get(dynamic.header.sh_offset + i * sizeof(d), d) || d.d_tag == DT_NULL) break;
      if (d.d_tag == DT_NEEDED) out.needed.push_back(Name(file, dynamic, d.d_un.d_val));
    }
  }
  return out;
}

}  // namespace slipway::conform
