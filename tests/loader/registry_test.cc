// From a name to a table: what is loaded, what is refused, and whether the refusal tells a person what to do.
#include "core/loader/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/loader/discover.h"

namespace slipway {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string FixtureFolder() { return std::getenv("SLIPWAY_TEST_FIXTURE_DIR"); }

class RegistryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "slipway-loader-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Folder(const std::string& name) {
    const std::filesystem::path p = std::filesystem::path(folder_) / name;
    std::filesystem::create_directories(p);
    return p.string();
  }
  static std::string FileOf(const std::string& folder, const std::string& plugin) {
    return folder + "/libslipway-" + plugin + ".so";
  }
  // Puts a copy of a fixture where a test wants it.
  static void Install(const std::string& fixture, const std::string& folder, const std::string& as) {
    std::filesystem::copy_file(FileOf(FixtureFolder(), fixture), FileOf(folder, as),
                               std::filesystem::copy_options::overwrite_existing);
  }
  // Loads `plugin` from one folder (the fixtures', unless told) and expects it to be refused.
  Status Refused(const std::string& plugin, const std::string& folder = FixtureFolder()) {
    PluginRegistry registry({folder});
    const Result<const LoadedPlugin*> r = registry.Load(plugin);
    EXPECT_FALSE(r.ok()) << plugin << " was loaded";
    return r.ok() ? Status(SLIPWAY_E_INTERNAL, "loaded") : r.status();
  }

  std::string folder_;
};

TEST_F(RegistryTest, LoadsAGoodPluginOnceAndFindsItsTransports) {
  PluginRegistry registry({FixtureFolder()});
  const Result<const LoadedPlugin*> loaded = registry.Load("good");
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_STREQ((*loaded)->descriptor->plugin_name, "good");
  EXPECT_EQ((*loaded)->path, FileOf(FixtureFolder(), "good"));
  EXPECT_EQ(*registry.Load("good"), *loaded);

  const Result<const slipway_transport*> transport = registry.FindTransport("stub-two", "good");
  ASSERT_TRUE(transport.ok()) << transport.status().message();
  EXPECT_STREQ((*transport)->name, "stub-two");
}

TEST_F(RegistryTest, ALaterMinorWithLongerTablesIsWelcome) {
  PluginRegistry registry({FixtureFolder()});
  const Result<const LoadedPlugin*> loaded = registry.Load("later-minor");
  EXPECT_TRUE(loaded.ok()) << loaded.status().message();
}

TEST_F(RegistryTest, TwoRegistriesLoadTheSamePlugin) {
  PluginRegistry a({FixtureFolder()}), b({FixtureFolder()});
  ASSERT_TRUE(a.Load("good").ok());
  ASSERT_TRUE(b.Load("good").ok());
  EXPECT_EQ((*a.Load("good"))->descriptor, (*b.Load("good"))->descriptor);
}

TEST_F(RegistryTest, AMissingTransportIsNamedBesideThoseThereAre) {
  PluginRegistry registry({FixtureFolder()});
  const Status s = registry.FindTransport("stub-twoo", "good").status();
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_NO_TRANSPORT);
  EXPECT_THAT(s.message(), AllOf(HasSubstr("\"good\""), HasSubstr("transport \"stub-twoo\""),
                                 HasSubstr("stub, stub-two"), HasSubstr("did you mean \"stub-two\"")));
  const Status p = registry.FindMemoryProvider("gpu", "good").status();
  EXPECT_EQ(p.code(), SLIPWAY_E_PLUGIN_NO_TRANSPORT);
  EXPECT_THAT(p.message(), AllOf(HasSubstr("memory provider \"gpu\""), HasSubstr("it has: none")));
}

TEST_F(RegistryTest, AnUnknownPluginIsToldWithThePathAndTheNearestName) {
  Install("good", folder_, "good");
  PluginRegistry registry({folder_, "/nonexistent/plugins"});
  const Status s = registry.Load("godo").status();
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_NOT_FOUND);
  EXPECT_THAT(s.message(), AllOf(HasSubstr("libslipway-godo.so"), HasSubstr(folder_), HasSubstr("/nonexistent/plugins"),
                                 HasSubstr("did you mean \"good\"")));
  EXPECT_THAT(PluginRegistry({}).Load("good").status().message(), HasSubstr("plugin path (none)"));
}

TEST_F(RegistryTest, NamesThatLeaveTheFolderAreRefused) {
  for (const char* name :
       {"", "../good", "a/b", "Good", "good.so", "with space", "0123456789012345678901234567890123", "nul\nline"}) {
    const Status s = Refused(name);
    EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_NAME) << name;
    EXPECT_THAT(s.message(), HasSubstr("1 to 31 of a-z, 0-9 and -"));
  }
}

TEST_F(RegistryTest, TheSameNameInTwoFoldersIsRefused) {
  const std::string a = Folder("a"), b = Folder("b");
  Install("good", a, "good");
  Install("good", b, "good");
  const Status s = PluginRegistry({a, b}).Load("good").status();
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_DUPLICATE);
  EXPECT_THAT(s.message(), AllOf(HasSubstr(FileOf(a, "good")), HasSubstr(FileOf(b, "good")), HasSubstr("remove one")));
}

TEST_F(RegistryTest, TheSameFolderTwiceIsNoDuplicate) {
  PluginRegistry registry({FixtureFolder(), FixtureFolder() + "/."});
  EXPECT_TRUE(registry.Load("good").ok());
}

TEST_F(RegistryTest, TheSameTransportFromTwoPluginsIsRefused) {
  PluginRegistry registry({FixtureFolder()});
  ASSERT_TRUE(registry.Load("good").ok());
  const Status s = registry.Load("good-twin").status();
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_DUPLICATE);
  EXPECT_THAT(s.message(), AllOf(HasSubstr("transport \"stub\""), HasSubstr("libslipway-good.so"),
                                 HasSubstr("libslipway-good-twin.so")));
  // The refused plugin left nothing behind.
  EXPECT_EQ(registry.Load("good-twin").status().code(), SLIPWAY_E_PLUGIN_DUPLICATE);
}

TEST_F(RegistryTest, ARepeatedTransportWithinAPluginIsRefused) {
  const Status s = Refused("repeated-transport");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_DUPLICATE);
  EXPECT_THAT(s.message(), HasSubstr("transport \"same\""));
}

TEST_F(RegistryTest, AnObjectWithoutTheSymbolIsNoPlugin) {
  const Status s = Refused("no-symbol");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_NO_ENTRY);
  EXPECT_THAT(s.message(), AllOf(HasSubstr("libslipway-no-symbol.so"), HasSubstr("does not define slipway_plugin_v1")));
}

TEST_F(RegistryTest, ANewerMajorTellsBothSides) {
  const Status s = Refused("newer-major");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_ABI_NEWER);
  EXPECT_THAT(s.message(), AllOf(HasSubstr("ABI major 2"), HasSubstr("this core has major 1"), HasSubstr("install")));
}

TEST_F(RegistryTest, AnOlderMajorTellsBothSides) {
  const Status s = Refused("older-major");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_ABI_OLDER);
  EXPECT_THAT(s.message(), AllOf(HasSubstr("ABI major 0"), HasSubstr("this core has major 1"),
                                 HasSubstr("newer build of the plugin")));
}

TEST_F(RegistryTest, EveryHeaderFieldThatDoesNotFitIsInOneMessage) {
  const Status s = Refused("bad-header");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_ABI_MISMATCH);
  EXPECT_THAT(s.message(), AllOf(HasSubstr("the magic is 0x12345678 in the plugin, 0x31574c53 in this core"),
                                 HasSubstr("the ABI major is 7 in the plugin, 1 in this core"),
                                 HasSubstr("pointers in bits is 32 in the plugin, 64 in this core"),
                                 HasSubstr("slipway_plugin has 16 bytes in the plugin, at least 56"),
                                 HasSubstr("Build the plugin")));
}

TEST_F(RegistryTest, TablesOfARevisionThatNeverWasAreListed) {
  const Status s = Refused("short-table");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_ABI_MISMATCH);
  EXPECT_THAT(s.message(), AllOf(HasSubstr("transport number 0 has 96 bytes"), HasSubstr("transport number 1 has 96")));
}

TEST_F(RegistryTest, EveryMissingEntryOfEveryTableIsListed) {
  const Status s = Refused("null-entries");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_INCOMPLETE);
  EXPECT_THAT(s.message(),
              AllOf(HasSubstr("transport \"first\" lacks submit, poll"),
                    HasSubstr("transport \"second\" lacks query_registered, cancel, which CAP_CANCEL promises"),
                    HasSubstr("memory provider \"half\" lacks version"), HasSubstr("mem_kind"), HasSubstr("copy_poll"),
                    HasSubstr("tell its author")));
}

TEST_F(RegistryTest, APluginThatOffersNothingIsRefused) {
  const Status s = Refused("no-tables");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_INCOMPLETE);
  EXPECT_THAT(s.message(), HasSubstr("offers no transport and no memory provider"));
}

TEST_F(RegistryTest, APluginUnderAnotherNameIsRefused) {
  const Status s = Refused("wrong-name");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_NAME);
  EXPECT_THAT(s.message(), AllOf(HasSubstr("calls itself \"another-name\""), HasSubstr("is for \"wrong-name\"")));
}

TEST_F(RegistryTest, ATransportNameThatCannotBeWrittenIsRefused) {
  const Status s = Refused("bad-transport-name");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_NAME);
  EXPECT_THAT(s.message(), HasSubstr("\"Bad/Name\""));
}

TEST_F(RegistryTest, AMissingDependencyIsNamed) {
  const Status s = Refused("missing-dependency");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_OPEN);
  EXPECT_THAT(s.message(), AllOf(HasSubstr("libslipway-fixture-gone.so.7"), HasSubstr("ldd")));
}

TEST_F(RegistryTest, AnUndefinedSymbolIsNamed) {
  const Status s = Refused("undefined");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_OPEN);
  EXPECT_THAT(s.message(), HasSubstr("slipway_fixture_nobody_defines_this"));
}

TEST_F(RegistryTest, ASymbolOfADependencyIsNotTakenForThePlugins) {
  const Status s = Refused("borrower");
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_NO_ENTRY);
  EXPECT_THAT(s.message(), HasSubstr("does not define slipway_plugin_v1"));
}

TEST_F(RegistryTest, EvenWhereTheFileHidesWhatItDefines) {
  // Without section headers the look at the file says nothing, so the system's loader runs and its answer is checked.
  Install("borrower", folder_, "borrower");
  std::fstream file(FileOf(folder_, "borrower"), std::ios::in | std::ios::out | std::ios::binary);
  const char zeros[8] = {};
  file.seekp(0x28).write(zeros, 8);  // e_shoff
  file.seekp(0x3c).write(zeros, 4);  // e_shnum, e_shstrndx
  file.close();
  const Status s = Refused("borrower", folder_);
  EXPECT_EQ(s.code(), SLIPWAY_E_PLUGIN_NO_ENTRY);
  EXPECT_THAT(s.message(), AllOf(HasSubstr("comes from"), HasSubstr("slipway-fixture-lender")));
}

TEST_F(RegistryTest, NoMessageSaysUnsupported) {
  for (const PluginFile& file : DiscoverPlugins({FixtureFolder()})) {
    PluginRegistry registry({FixtureFolder()});
    const Result<const LoadedPlugin*> r = registry.Load(file.name);
    EXPECT_THAT(r.status().message(), Not(HasSubstr("nsupported"))) << file.name;
  }
}

TEST_F(RegistryTest, DiscoveryReadsNamesOnly) {
  std::ofstream(FileOf(folder_, "text")) << "not a shared object";
  std::ofstream(FileOf(folder_, "Bad_Name")) << "x";
  std::ofstream(folder_ + "/libother.so") << "x";
  std::ofstream(folder_ + "/libslipway-.so") << "x";
  std::ofstream(FileOf(folder_, "another")) << "x";
  const std::vector<PluginFile> found = DiscoverPlugins({"/nonexistent", folder_});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].name, "another");
  EXPECT_EQ(found[1].name, "text");
  EXPECT_EQ(found[1].path, FileOf(folder_, "text"));
}

}  // namespace
}  // namespace slipway
