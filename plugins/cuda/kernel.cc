#include "plugins/cuda/kernel.h"

namespace slipway::cuda {

// Every warp takes the shares w, w + W, ... of all pieces, W being the number of warps in the grid. It asks for the
// next piece before it copies the one in hand, since the pieces lie in host memory, a microsecond away.
//
// Where source and destination are equally far from a multiple of 16, single bytes lead up to it, four vectors of 16
// bytes are in flight a thread, and single bytes end it. Where they are equally far from a multiple of 4, the same with
// words of 4 bytes; else bytes.
//
// Source of the shape: measured, 16-byte vectors with four in flight a thread in 8 to 32 blocks of 512 fill a PCIe 5
// link both ways and leave the other multiprocessors alone.
//
// Of pieces of one length, a warp takes a run of neighbours in the list at a time: each lane fetches one of them, so
// that the list crosses the link in few requests.
const char kKernelPtx[] = R"(
.version 6.0
.target sm_50
.address_size 64

.visible .entry slipway_copy_pieces(.param .u64 p_pieces, .param .u32 p_count, .param .u32 p_log_shares)
.maxntid 512, 1, 1
.minnctapersm 1
{
  .reg .pred %p;
  .reg .b32 %lane, %warp, %warps, %shares, %log, %total, %v, %t, %s, %i, %n, %a, %b;
  .reg .b32 %len, %nlen, %w<16>;
  .reg .b64 %pieces, %dst, %src, %ndst, %nsrc, %at, %d, %e, %off, %part, %left, %beg, %l, %m;

  ld.param.u64 %pieces, [p_pieces];
  ld.param.u32 %total, [p_count];
  ld.param.u32 %log, [p_log_shares];
  cvta.to.global.u64 %pieces, %pieces;
  shl.b32 %total, %total, %log;
  mov.u32 %t, 1;
  shl.b32 %shares, %t, %log;

  mov.u32 %t, %tid.x;
  and.b32 %lane, %t, 31;
  shr.u32 %warp, %t, 5;
  mov.u32 %a, %ctaid.x;
  mad.lo.u32 %v, %a, 16, %warp;            // this warp's first share
  mov.u32 %a, %nctaid.x;
  shl.b32 %warps, %a, 4;
  setp.ge.u32 %p, %v, %total;
  @%p bra DONE;

  shr.u32 %i, %v, %log;
  mad.wide.u32 %at, %i, 32, %pieces;
  ld.global.v2.u64 {%ndst, %nsrc}, [%at];
  ld.global.u32 %nlen, [%at+16];

PIECE:
  mov.u64 %dst, %ndst;
  mov.u64 %src, %nsrc;
  mov.u32 %len, %nlen;
  sub.u32 %s, %shares, 1;
  and.b32 %s, %v, %s;                      // which share of the piece
  add.u32 %v, %v, %warps;
  setp.ge.u32 %p, %v, %total;
  @%p bra ASKED;
  shr.u32 %i, %v, %log;
  mad.wide.u32 %at, %i, 32, %pieces;
  ld.global.v2.u64 {%ndst, %nsrc}, [%at];
  ld.global.u32 %nlen, [%at+16];
ASKED:
  // The share: whole steps of 2048 bytes, but for the last.
  cvt.u64.u32 %left, %len;
  cvt.u64.u32 %part, %shares;
  add.u64 %part, %part, %left;
  sub.u64 %part, %part, 1;
  shr.u64 %part, %part, %log;
  add.u64 %part, %part, 2047;
  and.b64 %part, %part, 0xfffffffffffff800;
  cvt.u64.u32 %beg, %s;
  mul.lo.u64 %beg, %beg, %part;
  setp.ge.u64 %p, %beg, %left;
  @%p bra NEXT;
  sub.u64 %left, %left, %beg;
  min.u64 %left, %left, %part;
  add.u64 %dst, %dst, %beg;
  add.u64 %src, %src, %beg;

  xor.b64 %d, %dst, %src;
  cvt.u32.u64 %a, %d;
  and.b32 %b, %a, 15;
  setp.eq.u32 %p, %b, 0;
  @%p bra VECTORS;
  and.b32 %b, %a, 3;
  setp.eq.u32 %p, %b, 0;
  @%p bra WORDS;
  mov.u64 %m, 0;
  bra BYTES;

VECTORS:
  cvt.u32.u64 %a, %dst;
  neg.s32 %a, %a;
  and.b32 %a, %a, 15;                      // bytes up to a multiple of 16
  cvt.u64.u32 %m, %a;
  min.u64 %m, %m, %left;
  cvt.u64.u32 %l, %lane;
  setp.ge.u64 %p, %l, %m;
  @%p bra VHEAD;
  add.u64 %d, %src, %l;
  add.u64 %e, %dst, %l;
  ld.global.u8 %a, [%d];
  st.global.u8 [%e], %a;
VHEAD:
  add.u64 %src, %src, %m;
  add.u64 %dst, %dst, %m;
  sub.u64 %left, %left, %m;
  shr.u64 %d, %left, 4;
  cvt.u32.u64 %n, %d;                      // vectors
  mul.wide.u32 %off, %lane, 16;
  add.u64 %d, %src, %off;
  add.u64 %e, %dst, %off;
  mov.u32 %i, %lane;
VFOUR:
  add.u32 %a, %i, 96;
  setp.ge.u32 %p, %a, %n;
  @%p bra VONE;
  ld.global.v4.u32 {%w0, %w1, %w2, %w3}, [%d];
  ld.global.v4.u32 {%w4, %w5, %w6, %w7}, [%d+512];
  ld.global.v4.u32 {%w8, %w9, %w10, %w11}, [%d+1024];
  ld.global.v4.u32 {%w12, %w13, %w14, %w15}, [%d+1536];
  st.global.v4.u32 [%e], {%w0, %w1, %w2, %w3};
  st.global.v4.u32 [%e+512], {%w4, %w5, %w6, %w7};
  st.global.v4.u32 [%e+1024], {%w8, %w9, %w10, %w11};
  st.global.v4.u32 [%e+1536], {%w12, %w13, %w14, %w15};
  add.u64 %d, %d, 2048;
  add.u64 %e, %e, 2048;
  add.u32 %i, %i, 128;
  bra VFOUR;
VONE:
  setp.ge.u32 %p, %i, %n;
  @%p bra VTAIL;
  ld.global.v4.u32 {%w0, %w1, %w2, %w3}, [%d];
  st.global.v4.u32 [%e], {%w0, %w1, %w2, %w3};
  add.u64 %d, %d, 512;
  add.u64 %e, %e, 512;
  add.u32 %i, %i, 32;
  bra VONE;
VTAIL:
  mul.wide.u32 %m, %n, 16;
  bra BYTES;

WORDS:
  cvt.u32.u64 %a, %dst;
  neg.s32 %a, %a;
  and.b32 %a, %a, 3;                       // bytes up to a multiple of 4
  cvt.u64.u32 %m, %a;
  min.u64 %m, %m, %left;
  cvt.u64.u32 %l, %lane;
  setp.ge.u64 %p, %l, %m;
  @%p bra WHEAD;
  add.u64 %d, %src, %l;
  add.u64 %e, %dst, %l;
  ld.global.u8 %a, [%d];
  st.global.u8 [%e], %a;
WHEAD:
  add.u64 %src, %src, %m;
  add.u64 %dst, %dst, %m;
  sub.u64 %left, %left, %m;
  shr.u64 %d, %left, 2;
  cvt.u32.u64 %n, %d;                      // words
  mul.wide.u32 %off, %lane, 4;
  add.u64 %d, %src, %off;
  add.u64 %e, %dst, %off;
  mov.u32 %i, %lane;
WFOUR:
  add.u32 %a, %i, 96;
  setp.ge.u32 %p, %a, %n;
  @%p bra WONE;
  ld.global.u32 %w0, [%d];
  ld.global.u32 %w1, [%d+128];
  ld.global.u32 %w2, [%d+256];
  ld.global.u32 %w3, [%d+384];
  st.global.u32 [%e], %w0;
  st.global.u32 [%e+128], %w1;
  st.global.u32 [%e+256], %w2;
  st.global.u32 [%e+384], %w3;
  add.u64 %d, %d, 512;
  add.u64 %e, %e, 512;
  add.u32 %i, %i, 128;
  bra WFOUR;
WONE:
  setp.ge.u32 %p, %i, %n;
  @%p bra WTAIL;
  ld.global.u32 %w0, [%d];
  st.global.u32 [%e], %w0;
  add.u64 %d, %d, 128;
  add.u64 %e, %e, 128;
  add.u32 %i, %i, 32;
  bra WONE;
WTAIL:
  mul.wide.u32 %m, %n, 4;

BYTES:                                     // what is left from byte %m on
  cvt.u64.u32 %l, %lane;
  add.u64 %m, %m, %l;
  add.u64 %d, %src, %m;
  add.u64 %e, %dst, %m;
BFOUR:
  add.u64 %off, %m, 96;
  setp.ge.u64 %p, %off, %left;
  @%p bra BONE;
  ld.global.u8 %w0, [%d];
  ld.global.u8 %w1, [%d+32];
  ld.global.u8 %w2, [%d+64];
  ld.global.u8 %w3, [%d+96];
  st.global.u8 [%e], %w0;
  st.global.u8 [%e+32], %w1;
  st.global.u8 [%e+64], %w2;
  st.global.u8 [%e+96], %w3;
  add.u64 %d, %d, 128;
  add.u64 %e, %e, 128;
  add.u64 %m, %m, 128;
  bra BFOUR;
BONE:
  setp.ge.u64 %p, %m, %left;
  @%p bra NEXT;
  ld.global.u8 %w0, [%d];
  st.global.u8 [%e], %w0;
  add.u64 %d, %d, 32;
  add.u64 %e, %e, 32;
  add.u64 %m, %m, 32;
  bra BONE;

NEXT:
  setp.lt.u32 %p, %v, %total;
  @%p bra PIECE;
DONE:
  ret;
}

.visible .entry slipway_copy_equal(.param .u64 p_pieces, .param .u32 p_count, .param .u32 p_bytes, .param .u32 p_log_run)
.maxntid 512, 1, 1
.minnctapersm 1
{
  .reg .pred %p, %q;
  .reg .b32 %lane, %run, %warps, %count, %log, %per, %first, %n, %i, %j, %m, %a;
  .reg .b32 %dlo, %dhi, %slo, %shi, %w<32>;
  .reg .b64 %pieces, %ndst, %nsrc, %at, %d, %e, %off;

  ld.param.u64 %pieces, [p_pieces];
  ld.param.u32 %count, [p_count];
  ld.param.u32 %n, [p_bytes];
  ld.param.u32 %log, [p_log_run];
  cvta.to.global.u64 %pieces, %pieces;
  shr.u32 %n, %n, 4;                       // vectors of a piece
  mov.u32 %a, 1;
  shl.b32 %per, %a, %log;                  // pieces of a run

  mov.u32 %a, %tid.x;
  and.b32 %lane, %a, 31;
  shr.u32 %run, %a, 5;
  mov.u32 %a, %ctaid.x;
  mad.lo.u32 %run, %a, 16, %run;           // this warp's first run
  mov.u32 %a, %nctaid.x;
  shl.b32 %warps, %a, 4;
  mul.wide.u32 %off, %lane, 16;
  mov.u64 %ndst, 0;
  mov.u64 %nsrc, 0;
  setp.lt.u32 %q, %lane, %per;             // whether this lane fetches a piece of each run

  shl.b32 %first, %run, %log;
  setp.ge.u32 %p, %first, %count;
  @%p bra EDONE;
  add.u32 %i, %first, %lane;
  setp.lt.and.u32 %p, %i, %count, %q;
  mad.wide.u32 %at, %i, 16, %pieces;
  @%p ld.global.v2.u64 {%ndst, %nsrc}, [%at];

ERUN:
  mov.b64 {%dlo, %dhi}, %ndst;
  mov.b64 {%slo, %shi}, %nsrc;
  sub.u32 %m, %count, %first;
  min.u32 %m, %m, %per;
  add.u32 %run, %run, %warps;
  shl.b32 %first, %run, %log;
  add.u32 %i, %first, %lane;
  setp.lt.and.u32 %p, %i, %count, %q;
  mad.wide.u32 %at, %i, 16, %pieces;
  @%p ld.global.v2.u64 {%ndst, %nsrc}, [%at];
  mov.u32 %j, 0;

EPIECE:
  shfl.sync.idx.b32 %w0, %dlo, %j, 31, 0xffffffff;
  shfl.sync.idx.b32 %w1, %dhi, %j, 31, 0xffffffff;
  shfl.sync.idx.b32 %w2, %slo, %j, 31, 0xffffffff;
  shfl.sync.idx.b32 %w3, %shi, %j, 31, 0xffffffff;
  mov.b64 %e, {%w0, %w1};
  mov.b64 %d, {%w2, %w3};
  add.u64 %e, %e, %off;
  add.u64 %d, %d, %off;
  mov.u32 %i, %lane;
EEIGHT:
  add.u32 %a, %i, 224;
  setp.ge.u32 %p, %a, %n;
  @%p bra EFOUR;
  ld.global.v4.u32 {%w0, %w1, %w2, %w3}, [%d];
  ld.global.v4.u32 {%w4, %w5, %w6, %w7}, [%d+512];
  ld.global.v4.u32 {%w8, %w9, %w10, %w11}, [%d+1024];
  ld.global.v4.u32 {%w12, %w13, %w14, %w15}, [%d+1536];
  ld.global.v4.u32 {%w16, %w17, %w18, %w19}, [%d+2048];
  ld.global.v4.u32 {%w20, %w21, %w22, %w23}, [%d+2560];
  ld.global.v4.u32 {%w24, %w25, %w26, %w27}, [%d+3072];
  ld.global.v4.u32 {%w28, %w29, %w30, %w31}, [%d+3584];
  st.global.v4.u32 [%e], {%w0, %w1, %w2, %w3};
  st.global.v4.u32 [%e+512], {%w4, %w5, %w6, %w7};
  st.global.v4.u32 [%e+1024], {%w8, %w9, %w10, %w11};
  st.global.v4.u32 [%e+1536], {%w12, %w13, %w14, %w15};
  st.global.v4.u32 [%e+2048], {%w16, %w17, %w18, %w19};
  st.global.v4.u32 [%e+2560], {%w20, %w21, %w22, %w23};
  st.global.v4.u32 [%e+3072], {%w24, %w25, %w26, %w27};
  st.global.v4.u32 [%e+3584], {%w28, %w29, %w30, %w31};
  add.u64 %d, %d, 4096;
  add.u64 %e, %e, 4096;
  add.u32 %i, %i, 256;
  bra EEIGHT;
EFOUR:
  add.u32 %a, %i, 96;
  setp.ge.u32 %p, %a, %n;
  @%p bra EONE;
  ld.global.v4.u32 {%w0, %w1, %w2, %w3}, [%d];
  ld.global.v4.u32 {%w4, %w5, %w6, %w7}, [%d+512];
  ld.global.v4.u32 {%w8, %w9, %w10, %w11}, [%d+1024];
  ld.global.v4.u32 {%w12, %w13, %w14, %w15}, [%d+1536];
  st.global.v4.u32 [%e], {%w0, %w1, %w2, %w3};
  st.global.v4.u32 [%e+512], {%w4, %w5, %w6, %w7};
  st.global.v4.u32 [%e+1024], {%w8, %w9, %w10, %w11};
  st.global.v4.u32 [%e+1536], {%w12, %w13, %w14, %w15};
  add.u64 %d, %d, 2048;
  add.u64 %e, %e, 2048;
  add.u32 %i, %i, 128;
  bra EFOUR;
EONE:
  setp.ge.u32 %p, %i, %n;
  @%p bra ENEXT;
  ld.global.v4.u32 {%w0, %w1, %w2, %w3}, [%d];
  st.global.v4.u32 [%e], {%w0, %w1, %w2, %w3};
  add.u64 %d, %d, 512;
  add.u64 %e, %e, 512;
  add.u32 %i, %i, 32;
  bra EONE;
ENEXT:
  add.u32 %j, %j, 1;
  setp.lt.u32 %p, %j, %m;
  @%p bra EPIECE;
  setp.lt.u32 %p, %first, %count;
  @%p bra ERUN;
EDONE:
  ret;
}
)";

}  // namespace slipway::cuda
