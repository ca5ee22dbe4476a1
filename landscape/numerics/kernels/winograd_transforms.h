/* What winograd.c multiplies: registers and numbers in memory, and the transforms of images, weights and outputs. */
#include <stdint.h>
#include <string.h>

/* LANES: floats in a register. What a product sums in registers: TOGETHER of six positions, ROWS (of tiles, or of channels in; they
   divide LANES and BLOCK) and COLUMNS (registers of channels out), so many that products, not what they read, take the time. STEPS
   writes out eight steps of a sum where one has few products: counting steps would be a fifth of the instructions. */
#if defined(__AVX512F__)
#define LANES 16
#define TOGETHER 6
#define COLUMNS 1
#define STEPS _Pragma("GCC unroll 1")
#else
#if defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#define TOGETHER 1
#define COLUMNS 2
#define STEPS _Pragma("GCC unroll 8")
#endif
#define ROWS 4
#if defined(__AVX2__)
#include <immintrin.h>
#endif
#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)
#define HALF 1 /* products of bf16 numbers, summed in fp32 */
#else
#define HALF 0 /* there is none, or matrix tiles make the direct convolution the faster one */
#endif
#if defined(__x86_64__) && !defined(__AMX_BF16__)
#define STORED 1 /* bf16 numbers in memory gain from this, whatever they are multiplied in */
#else
#define STORED 0
#endif
#define BLOCK 16 /* tiles */
#define RUN 8    /* tiles side by side that share sums */
#define UNROLL _Pragma("GCC unroll 36")
#define SIX (6 * LANES) /* numbers: a row of one tile in LANES channels */
/* Products read what they sum together side by side: six positions of a tile (or of a channel in), or one position of all. */
#define NEXT_TILE (TOGETHER == 6 ? SIX : LANES)
#define NEXT_POSITION(tiles) (TOGETHER == 6 ? LANES : (tiles) * LANES)
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef float loose __attribute__((vector_size(LANES * 4), aligned(4), may_alias)); /* in memory */
typedef int32_t mask __attribute__((vector_size(LANES * 4)));
typedef uint32_t bits __attribute__((vector_size(LANES * 4)));
typedef uint16_t halves __attribute__((vector_size(LANES * 2), aligned(2), may_alias)); /* in memory */
#define TO(p) (*(loose *)(p))

#if defined(__SSE2__)
#define IN_REGISTER(x) __asm__("" : "+v"(x)) /* or each use would read memory again */
#else
#define IN_REGISTER(x)
#endif

INLINE vec AT(const float *p) { return *(const loose *)p; }

typedef struct { /* w[k][c][i][j] and the strides in floats: any layout, also transposed and turned round */
  const float *data;
  long k, c, i, j;
} Weight;

typedef struct { /* what is convolved with what */
  const void *x;
  Weight w;
} Term;

typedef struct {
  long n, h, w, c, k; /* images, height, width, channels in and out */
  long all;           /* channels in of all terms */
} Shape;

static const float a = 0.75f, b = 1.5f;
static const float a2 = 0.5625f, b2 = 2.25f, a3 = 0.421875f, b3 = 3.375f, ab2 = 1.6875f, ba2 = 0.84375f;
static const float both = 1.265625f, sum = 2.8125f;                                           /* a2 b2, a2 + b2 */
static const float scale0 = 1 / 1.265625f, scale_a = -1 / 1.8984375f, scale_b = 1 / 7.59375f; /* G's */

/* Three of the six rows of B'; the two parts share no terms. */
typedef enum { UPPER, LOWER } Part;

/* A part of B' d; outputs are `step` apart. */
INLINE void spread_part(vec d0, vec d1, vec d2, vec d3, vec d4, vec d5, vec *out, int step, const Part part) {
  if (part == UPPER) {
    const vec p = d4 - b2 * d2, q = a * d3 - ab2 * d1;
    out[0] = both * d0 - sum * d2 + d4;
    out[step] = p + q;
    out[2 * step] = p - q;
  } else {
    const vec r = d4 - a2 * d2, s = b * d3 - ba2 * d1;
    out[0] = r + s;
    out[step] = r - s;
    out[2 * step] = both * d1 - sum * d3 + d5;
  }
}

/* The ends, and between them what is the same at a point and at its opposite (p, r) with what changes its sign (q, s). */
INLINE void put_six(vec first, vec p, vec q, vec r, vec s, vec last, vec *out, int step) {
  out[0] = first;
  out[step] = p + q;
  out[2 * step] = p - q;
  out[3 * step] = r + s;
  out[4 * step] = r - s;
  out[5 * step] = last;
}

/* G w, three values to six. */
INLINE void spread_weights(vec w0, vec w1, vec w2, vec *out, int step) {
  const vec p = scale_a * (w0 + a2 * w2), q = (scale_a * a) * w1, r = scale_b * (w0 + b2 * w2), s = (scale_b * b) * w1;
  put_six(scale0 * w0, p, q, r, s, w2, out, step);
}

/* G' u, six values to three. */
INLINE void gather_weights(vec u0, vec u1, vec u2, vec u3, vec u4, vec u5, vec *out, int step) {
  const vec p = scale_a * (u1 + u2), r = scale_b * (u3 + u4);
  out[0] = scale0 * u0 + p + r;
  out[step] = (scale_a * a) * (u1 - u2) + (scale_b * b) * (u3 - u4);
  out[2 * step] = a2 * p + b2 * r + u5;
}

/* A y, four values to six. */
INLINE void spread_outputs(vec y0, vec y1, vec y2, vec y3, vec *out, int step) {
  const vec p = y0 + a2 * y2, q = a * y1 + a3 * y3, r = y0 + b2 * y2, s = b * y1 + b3 * y3;
  put_six(y0, p, q, r, s, y3, out, step);
}

/* A' m, six values to four. */
INLINE void gather_outputs(vec m0, vec m1, vec m2, vec m3, vec m4, vec m5, vec *out, int step) {
  const vec p = m1 + m2, q = m1 - m2, r = m3 + m4, s = m3 - m4;
  out[0] = m0 + p + r;
  out[step] = a * q + b * s;
  out[2 * step] = a2 * p + b2 * r;
  out[3 * step] = a3 * q + b3 * s + m5;
}

#if defined(__AVX2__) && LANES == 8
/* GCC makes five instructions of the conversions below, which are one here. */
INLINE bits get_halves(const uint16_t *from) { return (bits)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)from)); }

INLINE void put_halves(uint16_t *to, bits whole) {
  const __m256i upper = _mm256_setr_epi8(2, 3, 6, 7, 10, 11, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1, 2, 3, 6, 7, 10, 11, 14, 15, -1, -1,
                                         -1, -1, -1, -1, -1, -1);
  const __m256i gathered = _mm256_permute4x64_epi64(_mm256_shuffle_epi8((__m256i)whole, upper), 8);
  _mm_storeu_si128((__m128i *)to, _mm256_castsi256_si128(gathered));
}
#else
INLINE bits get_halves(const uint16_t *from) { return __builtin_convertvector(*(const halves *)from, bits); }

/* The upper halves. */
INLINE void put_halves(uint16_t *to, bits whole) { *(halves *)to = __builtin_convertvector(whole >> 16, halves); }
#endif

/* Numbers in memory are floats, or bf16 where `half`; images are that where `stored`, which products need not be. */
INLINE void put(void *to, long at, vec value, const int half) {
  if (half) {
#if HALF
    _mm256_storeu_si256((__m256i *)((uint16_t *)to + at), (__m256i)_mm512_cvtneps_pbh((__m512)value));
#else
    const bits whole = (bits)value, none = (bits)(value != value);
    const bits rounded = whole + 0x7fff + (whole >> 16 & 1); /* to nearest, ties to even */
    put_halves((uint16_t *)to + at, (rounded & ~none) | (none & 0x7fc00000));
#endif
    return;
  }
  TO((float *)to + at) = value;
}

/* Two registers `apart`, which is LANES where `half`. */
INLINE void put_two(void *to, long at, long apart, vec first, vec second, const int half) {
#if HALF
  if (half) {
    _mm512_storeu_si512((uint16_t *)to + at, (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first));
    return;
  }
#endif
  TO((float *)to + at) = first;
  TO((float *)to + at + apart) = second;
}

/* bf16 numbers are the upper halves of floats. */
INLINE vec get(const void *from, long at, const int half) {
  if (half) {
#if HALF
    const __m256i read = _mm256_loadu_si256((const __m256i *)((const uint16_t *)from + at));
    static const uint16_t order[32] = {0, 0, 0, 1, 0, 2,  0, 3,  0, 4,  0, 5,  0, 6,  0, 7,
                                       0, 8, 0, 9, 0, 10, 0, 11, 0, 12, 0, 13, 0, 14, 0, 15};
    return (vec)_mm512_maskz_permutexvar_epi16(0xAAAAAAAA, _mm512_loadu_si512(order), _mm512_castsi256_si512(read));
#else
    return (vec)(get_halves((const uint16_t *)from + at) << 16);
#endif
  }
  return AT((const float *)from + at);
}

typedef struct { /* where a tile's outputs begin */
  long image, top, left;
} Tile;

INLINE Tile tile_at(long index, Shape s) {
  const long down = (s.h + 3) / 4, across = (s.w + 3) / 4;
  return (Tile){index / (down * across), index / across % down * 4, index % across * 4};
}

INLINE long tiles_of(Shape s) { return s.n * ((s.h + 3) / 4) * ((s.w + 3) / 4); }

/* Rows of B' d B for LANES channels of `count` tiles side by side, at most RUN: v[row][tile][6][LANES] or v[row][6][tile][LANES], rows
   `next` apart. Sums down the columns that two tiles share are made once. */
INLINE void input_run(const char **row, const long *apart, long left, long width, long count, const Part part, void *v, long next,
                      const int stored, const int half) {
  vec down[3][4 * RUN + 2], o[6];
  for (long j = 0; j < 4 * count + 2; j++) {
    const long q = left - 1 + j;
    if (q < 0 || q >= width) down[0][j] = down[1][j] = down[2][j] = (vec){0};
    else {
#define D(i) get(row[i] + q * apart[i], 0, stored)
      spread_part(D(0), D(1), D(2), D(3), D(4), D(5), down[0] + j, 4 * RUN + 2, part);
#undef D
    }
  }
  for (int i = 0; i < 3; i++)
    for (long t = 0; t < count; t++) {
      const vec *d = down[i] + 4 * t;
      spread_part(d[0], d[1], d[2], d[3], d[4], d[5], o, 1, UPPER);
      spread_part(d[0], d[1], d[2], d[3], d[4], d[5], o + 3, 1, LOWER);
      UNROLL
      for (int j = 0; j < 6; j += 2)
        put_two(v, i * next + t * NEXT_TILE + j * NEXT_POSITION(BLOCK), NEXT_POSITION(BLOCK), o[j], o[j + 1], half);
    }
}

/* Rows of B' d B of `count` tiles from the one of number `first` on: v[row][c / LANES] of these. */
INLINE void input_rows(const void *x, const void *zero, Shape s, long first, long count, const Part part, void *v, const int stored,
                       const int half) {
  const long across = (s.w + 3) / 4, size = stored ? 2 : 4;
  for (long t = 0, run; t < count; t += run) {
    const Tile tile = tile_at(first + t, s);
    const long left = across - (first + t) % across;
    run = left < count - t ? left : count - t;
    if (run > RUN) run = RUN;
    const char *row[6];
    long apart[6];
    for (long i = 0; i < 6; i++) {
      const long r = tile.top - 1 + i, inside = r >= 0 && r < s.h;
      row[i] = inside ? (const char *)x + (tile.image * s.h + r) * s.w * s.c * size : zero;
      apart[i] = inside ? s.c * size : 0;
    }
    for (long c = 0; c < s.c; c += LANES) {
      input_run(row, apart, tile.left, s.w, run, part, (char *)v + (c * BLOCK * 6 + t * NEXT_TILE) * (half ? 2 : 4), 6 * BLOCK * s.all,
                stored, half);
      for (long i = 0; i < 6; i++) row[i] += LANES * size;
    }
  }
}

/* A y A' of one tile: m[row][k / LANES][tile][6][LANES] or m[row][k / LANES][6][tile][LANES]. */
INLINE void output_gradient_tile(const void *y, const void *zero, Shape s, Tile tile, float *m, const int stored) {
  const void *at[16]; /* pixels, zero outside of the image */
  for (long i = 0; i < 4; i++)
    for (long j = 0; j < 4; j++) {
      const long r = tile.top + i, q = tile.left + j;
      at[i * 4 + j] = r >= s.h || q >= s.w ? zero : (const char *)y + ((tile.image * s.h + r) * s.w + q) * s.k * (stored ? 2 : 4);
    }
  for (long k = 0; k < s.k; k += LANES) {
    vec t[24], o[6];
#define D(i) get(at[i], k, stored)
    UNROLL
    for (int j = 0; j < 4; j++) spread_outputs(D(j), D(4 + j), D(8 + j), D(12 + j), t + j, 4);
#undef D
    UNROLL
    for (int i = 0; i < 6; i++) {
      spread_outputs(t[4 * i], t[4 * i + 1], t[4 * i + 2], t[4 * i + 3], o, 1);
      UNROLL
      for (int j = 0; j < 6; j++) TO(m + (i * s.k + k) * 6 * BLOCK + j * NEXT_POSITION(BLOCK)) = o[j];
    }
  }
}

/* x, or slope x where it is negative; for slope 0 also of minus infinity, and what is not a number stays so. */
INLINE vec leaky(vec x, float slope) {
  const mask negative = x < 0.0f;
  const mask bent = slope == 0.0f ? (mask){0} : (mask)(slope * x);
  return (vec)((negative & bent) | (~negative & (mask)x));
}

/* A' m of one tile whose rows of four are m[k / LANES][tile][6][4][LANES], the bias, and the activation. */
INLINE void output_tile(const float *m, const float *bias, float slope, void *y, Shape s, Tile tile, const int stored) {
  const long rows = s.h - tile.top < 4 ? s.h - tile.top : 4, columns = s.w - tile.left < 4 ? s.w - tile.left : 4;
  const long corner = ((tile.image * s.h + tile.top) * s.w + tile.left) * s.k;
  for (long k = 0; k < s.k; k += LANES) {
    const vec shift = AT(bias + k);
    for (long j = 0; j < columns; j++) {
      const float *p = m + k * 24 * BLOCK + j * LANES;
      vec o[4];
#define M(i) AT(p + 4 * (i) * LANES)
      gather_outputs(M(0), M(1), M(2), M(3), M(4), M(5), o, 1);
#undef M
      UNROLL
      for (long i = 0; i < 4; i++)
        if (i < rows) put(y, corner + (i * s.w + j) * s.k + k, leaky(o[i] + shift, slope), stored);
    }
  }
}

/* G w G' for one channel in and LANES channels out. */
INLINE void weight_tile(Weight w, long c, long k, vec *u) {
  vec g[9], t[18];
  UNROLL
  for (int i = 0; i < 3; i++) UNROLL
  for (int j = 0; j < 3; j++) {
    float lanes[LANES];
    for (int l = 0; l < LANES; l++) lanes[l] = w.data[(k + l) * w.k + c * w.c + i * w.i + j * w.j];
    g[3 * i + j] = AT(lanes);
  }
  UNROLL
  for (int j = 0; j < 3; j++) spread_weights(g[j], g[3 + j], g[6 + j], t + j, 3);
  UNROLL
  for (int i = 0; i < 6; i++) spread_weights(t[3 * i], t[3 * i + 1], t[3 * i + 2], u + 6 * i, 1);
}

/* LANES columns of u, of a term whose channels begin with `first`: [row][k / LANES][c][6][LANES] or [row][k / LANES][6][c][LANES], in
   bf16 [row][k / LANES][c / 2][6][LANES][2]. */
INLINE void weight_columns(Weight w, Shape s, long first, long k, void *u, const int half) {
  for (long c = 0; c < s.c; c += half ? 2 : 1) {
    vec one[36];
    weight_tile(w, c, k, one);
#if HALF
    if (half) {
      vec two[36];
      weight_tile(w, c + 1, k, two);
      UNROLL
      for (int p = 0; p < 36; p++) {
        const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)one[p]));
        const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)two[p]));
        uint16_t *to = (uint16_t *)u + ((p / 6 * s.k + k) * s.all + (first + c) * LANES) * 6 + p % 6 * 2 * LANES;
        _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
      }
      continue;
    }
#endif
    UNROLL
    for (int p = 0; p < 36; p++)
      TO((float *)u + (p / 6 * s.k + k) * s.all * 6 + (first + c) * NEXT_TILE + p % 6 * NEXT_POSITION(s.all)) = one[p];
  }
}
