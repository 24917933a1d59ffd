/* Holds the headers on the include path to the record of revision 1.0; also compiled as C++. */
#include "slipway/abi/plugin.h"

#ifdef __cplusplus
#define HOLD(what, why) static_assert(what, why)
#else
#define HOLD(what, why) _Static_assert(what, why)
#endif

/* Structs of later minors are longer. Offsets and sizes of what 1.0 had are for ever. */
#define STRUCT(name, bytes) HOLD(sizeof(name) >= (bytes), #name " is shorter than in 1.0");
#define FIXED(name, bytes) HOLD(sizeof(name) == (bytes), #name " is not as long as in 1.0, and cannot grow");
#define FIELD(name, field, offset, bytes)                                                 \
  HOLD(offsetof(name, field) == (offset), #name "." #field " is not where it is in 1.0"); \
  HOLD(sizeof(((name*)0)->field) == (bytes), #name "." #field " is not as long as in 1.0");
#define VALUE(name, value) HOLD((name) == (value), #name " is not what it is in 1.0");
#include "tests/abi/v1.0/record.inc"
