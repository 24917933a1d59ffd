// A file without the entry symbol, linked with one that has it: see cases/load.symbol-own-file.cc.
extern "C" int nothing_here() { return 0; }
