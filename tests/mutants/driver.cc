// Plays the library of a device that is not installed: see cases/prov.no-device.cc.
extern "C" __attribute__((visibility("default"))) int driver_that_is_not_installed() { return 1; }
