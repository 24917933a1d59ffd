// Files that are no plugin, and files made to hurt whoever reads them.
#include "core/loader/elf_file.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

namespace slipway {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ElfFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "slipway-elf-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/libslipway-x.so";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Status Check(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc).write(bytes.data(), std::streamsize(bytes.size()));
    return CheckPluginFile(path_);
  }
  static std::string Good() {
    std::ifstream in(std::string(std::getenv("SLIPWAY_TEST_FIXTURE_DIR")) + "/libslipway-good.so", std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static std::string Header(unsigned char elf_class, unsigned char data, uint16_t machine, uint16_t type = ET_DYN) {
    Elf64_Ehdr h{};
    std::memcpy(h.e_ident, ELFMAG, SELFMAG);
    h.e_ident[EI_CLASS] = elf_class;
    h.e_ident[EI_DATA] = data;
    h.e_ident[EI_VERSION] = EV_CURRENT;
    h.e_type = type;
    h.e_machine = data == ELFDATA2MSB ? static_cast<uint16_t>(machine << 8 | machine >> 8) : machine;
    h.e_ehsize = sizeof(h);
    return {reinterpret_cast<const char*>(&h), sizeof(h)};
  }
  // The good fixture with one field of its header overwritten.
  template <typename T>
  static std::string Patched(size_t offset, T value) {
    std::string bytes = Good();
    std::memcpy(bytes.data() + offset, &value, sizeof(value));
    return bytes;
  }

  std::string folder_, path_;
};

TEST_F(ElfFileTest, AGoodPluginPasses) {
  const Status s = Check(Good());
  EXPECT_TRUE(s.ok()) << s.message();
}

TEST_F(ElfFileTest, ATextFileIsNoSharedObject) {
  const Status s = Check("GROUP ( libslipway-real.so )\n");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_ARCH);
  EXPECT_THAT(s.message(), AllOf(HasSubstr(path_), HasSubstr("not an ELF file")));
}

TEST_F(ElfFileTest, AnEmptyFileIsNoSharedObject) {
  const Status s = Check("");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_ARCH);
  EXPECT_THAT(s.message(), HasSubstr("the file is empty"));
}

#if defined(__x86_64__)
TEST_F(ElfFileTest, AnotherMachineIsNamedBesideThisOne) {
  const Status arm = Check(Header(ELFCLASS64, ELFDATA2LSB, EM_AARCH64));
  EXPECT_EQ(arm.code(), SLIPWAY_E_PLUGIN_ARCH);
  EXPECT_THAT(arm.message(), AllOf(HasSubstr("made for aarch64"), HasSubstr("this process is x86-64")));

  const Status small = Check(Header(ELFCLASS32, ELFDATA2LSB, EM_386));
  EXPECT_EQ(small.code(), SLIPWAY_E_PLUGIN_ARCH);
  EXPECT_THAT(small.message(), AllOf(HasSubstr("i386 (32 bit"), HasSubstr("x86-64 (64 bit")));

  const Status big = Check(Header(ELFCLASS64, ELFDATA2MSB, EM_S390));
  EXPECT_EQ(big.code(), SLIPWAY_E_PLUGIN_ARCH);
  EXPECT_THAT(big.message(), HasSubstr("s390x (64 bit, big endian)"));
}

TEST_F(ElfFileTest, AnExecutableIsNoSharedObject) {
  const Status s = Check(Header(ELFCLASS64, ELFDATA2LSB, EM_X86_64, ET_EXEC));
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_ARCH);
  EXPECT_THAT(s.message(), HasSubstr("-shared"));
}
#endif

TEST_F(ElfFileTest, ATruncatedFileSaysSoWhereverItEnds) {
  const std::string good = Good();
  for (const size_t size : {size_t{4}, size_t{15}, size_t{17}, size_t{63}, size_t{64}, size_t{100}, good.size() / 4,
                            good.size() / 2, good.size() - 1}) {
    const Status s = Check(good.substr(0, size));
    EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_OPEN) << size;
    EXPECT_THAT(s.message(), AllOf(HasSubstr("truncated"), HasSubstr(std::to_string(size) + " bytes"))) << size;
  }
}

TEST_F(ElfFileTest, OffsetsBeyondTheFileAreDamage) {
  for (const uint64_t offset : {uint64_t{1} << 40, UINT64_MAX, UINT64_MAX - 63}) {
    EXPECT_EQ(Check(Patched(offsetof(Elf64_Ehdr, e_phoff), offset)).code(), SLIPWAY_E_PLUGIN_OPEN) << offset;
    EXPECT_EQ(Check(Patched(offsetof(Elf64_Ehdr, e_shoff), offset)).code(), SLIPWAY_E_PLUGIN_OPEN) << offset;
  }
  EXPECT_EQ(Check(Patched(offsetof(Elf64_Ehdr, e_phnum), uint16_t{0xffff})).code(), SLIPWAY_E_PLUGIN_OPEN);
  EXPECT_EQ(Check(Patched(offsetof(Elf64_Ehdr, e_shnum), uint16_t{0xffff})).code(), SLIPWAY_E_PLUGIN_OPEN);
  EXPECT_EQ(Check(Patched(offsetof(Elf64_Ehdr, e_shentsize), uint16_t{1})).code(), SLIPWAY_E_PLUGIN_OPEN);
}

TEST_F(ElfFileTest, WithoutSectionHeadersTheSystemsLoaderDecides) {
  EXPECT_TRUE(Check(Patched(offsetof(Elf64_Ehdr, e_shoff), uint64_t{0})).ok());
}

TEST_F(ElfFileTest, AFolderAFifoAndAMissingFileAreNotRead) {
  std::filesystem::create_directory(path_);
  EXPECT_EQ(CheckPluginFile(path_).code(), SLIPWAY_E_PLUGIN_OPEN);
  std::filesystem::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(CheckPluginFile(path_).code(), SLIPWAY_E_PLUGIN_OPEN);
  std::filesystem::remove(path_);
  const Status s = CheckPluginFile(path_);
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_OPEN);
  EXPECT_THAT(s.message(), HasSubstr("No such file"));
}

// Any damage to the headers is judged in bounded time, without touching memory that is not ours (sanitizers watch).
TEST_F(ElfFileTest, RandomDamageIsSurvived) {
  const std::string good = Good();
  std::mt19937 random(20260101);
  Elf64_Ehdr header;
  std::memcpy(&header, good.data(), sizeof(header));
  for (int round = 0; round < 500; ++round) {
    std::string bytes = good;
    for (int n = 0; n < 4; ++n) {
      const size_t sections = header.e_shnum * sizeof(Elf64_Shdr);
      const size_t at = random() % 2 == 0 ? random() % 1024 : header.e_shoff + random() % sections;
      bytes[at] = static_cast<char>(random());
    }
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    const Status s = Check(bytes);
    EXPECT_EQ(s.ok(), s.message().empty());
  }
}

}  // namespace
}  // namespace slipway
