/* 3x3 convolutions (stride 1, padding 1, channels last) by Winograd's minimal filtering F(4x4, 3x3); see winograd.py.

   A tile of 4x4 outputs takes 6x6 inputs: y = A' [ (G w G') * (B' d B) ] A, one product over the channels for each of 36
   positions where the direct convolution makes 144. The interpolation points are 0, +-3/4, +-3/2 and infinity: A and B are
   then exact in single precision, and rounding is amplified half as much as with the usual 0, +-1, +-2.

   Tiles are taken in blocks whose transforms stay in a core's cache. Channels must be multiples of 16. */
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16 /* floats in a register */
#define ROWS 8   /* rows of a product that are summed in registers, each two registers wide */
#define SUMS 8   /* the same for the weight's gradient; divides 16 */
#elif defined(__AVX2__)
#define LANES 8
#define ROWS 6
#define SUMS 4
#else
#define LANES 4
#define ROWS 8
#define SUMS 8
#endif
#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)
#define HALF 1 /* products of bf16 numbers, summed in fp32 */
#include <immintrin.h>
#else
#define HALF 0 /* there is none, or matrix tiles make the direct convolution the faster one */
#endif
#define BLOCK (2 * ROWS) /* tiles */
#define POSITIONS 36
#define PAD 32 /* numbers between positions, which would share the cache's sets otherwise */
#define UNROLL _Pragma("GCC unroll 36")
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef float loose __attribute__((vector_size(LANES * 4), aligned(4), may_alias)); /* in memory */
typedef int32_t mask __attribute__((vector_size(LANES * 4)));
#define TO(p) (*(loose *)(p))

INLINE vec AT(const float *p) { return *(const loose *)p; }

typedef struct { /* w[k][c][i][j] and the strides in floats: any layout, also transposed and turned round */
  const float *data;
  long k, c, i, j;
} Weight;

typedef struct {
  long n, h, w, c, k; /* images, height, width, channels in and out */
} Shape;

static const float a = 0.75f, b = 1.5f;
static const float a2 = 0.5625f, b2 = 2.25f, a3 = 0.421875f, b3 = 3.375f, ab2 = 1.6875f, ba2 = 0.84375f;
static const float both = 1.265625f, sum = 2.8125f;                                           /* a2 b2, a2 + b2 */
static const float scale0 = 1 / 1.265625f, scale_a = -1 / 1.8984375f, scale_b = 1 / 7.59375f; /* G's */

/* B' d, six values to six; outputs are `step` apart. */
INLINE void spread_inputs(vec d0, vec d1, vec d2, vec d3, vec d4, vec d5, vec *out, int step) {
  const vec p = d4 - b2 * d2, q = a * d3 - ab2 * d1, r = d4 - a2 * d2, s = b * d3 - ba2 * d1;
  out[0] = both * d0 - sum * d2 + d4;
  out[step] = p + q;
  out[2 * step] = p - q;
  out[3 * step] = r + s;
  out[4 * step] = r - s;
  out[5 * step] = both * d1 - sum * d3 + d5;
}

/* G w, three values to six. */
INLINE void spread_weights(vec w0, vec w1, vec w2, vec *out, int step) {
  const vec p = scale_a * (w0 + a2 * w2), q = (scale_a * a) * w1, r = scale_b * (w0 + b2 * w2), s = (scale_b * b) * w1;
  out[0] = scale0 * w0;
  out[step] = p + q;
  out[2 * step] = p - q;
  out[3 * step] = r + s;
  out[4 * step] = r - s;
  out[5 * step] = w2;
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
  out[0] = y0;
  out[step] = p + q;
  out[2 * step] = p - q;
  out[3 * step] = r + s;
  out[4 * step] = r - s;
  out[5 * step] = y3;
}

/* A' m, six values to four. */
INLINE void gather_outputs(vec m0, vec m1, vec m2, vec m3, vec m4, vec m5, vec *out, int step) {
  const vec p = m1 + m2, q = m1 - m2, r = m3 + m4, s = m3 - m4;
  out[0] = m0 + p + r;
  out[step] = a * q + b * s;
  out[2 * step] = a2 * p + b2 * r;
  out[3 * step] = a3 * q + b3 * s + m5;
}

/* Numbers in memory are floats, or bf16 where `half`. */
INLINE void put(void *to, long at, vec value, const int half) {
#if HALF
  if (half) {
    _mm256_storeu_si256((__m256i *)((uint16_t *)to + at), (__m256i)_mm512_cvtneps_pbh((__m512)value));
    return;
  }
#endif
  TO((float *)to + at) = value;
}

INLINE vec get(const void *from, long at, const int half) {
#if HALF
  if (half) {
    const __m256i bits = _mm256_loadu_si256((const __m256i *)((const uint16_t *)from + at));
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16);
  }
#endif
  return AT((const float *)from + at);
}

typedef struct { /* where a tile's outputs begin */
  long image, top, left;
} Tile;

INLINE Tile tile_at(long index, Shape s) {
  const long down = (s.h + 3) / 4, across = (s.w + 3) / 4;
  return (Tile){index / (down * across), index / across % down * 4, index % across * 4};
}

INLINE long step_of(long rows, long columns) { return rows * columns + PAD; }

INLINE long tiles_of(Shape s) { return s.n * ((s.h + 3) / 4) * ((s.w + 3) / 4); }

/* Where the size x size pixels from `margin` before the tile on lie, `zero` outside of the image. */
INLINE void locate(const void **at, int size, const void *x, const void *zero, Shape s, long channels, Tile tile, long margin,
                   const int half) {
  const long top = tile.top - margin, left = tile.left - margin;
  const long pixel = channels * (half ? 2 : 4), image = tile.image * s.h * s.w;
  for (long i = 0; i < size; i++)
    for (long j = 0; j < size; j++) {
      const long r = top + i, q = left + j;
      at[i * size + j] = r < 0 || r >= s.h || q < 0 || q >= s.w ? zero : (const char *)x + (image + r * s.w + q) * pixel;
    }
}

INLINE void spread_row(const vec *d, void *v, long at, long step, const int half) {
  vec o[6];
  spread_inputs(d[0], d[1], d[2], d[3], d[4], d[5], o, 1);
  UNROLL
  for (int j = 0; j < 6; j++) put(v, at + j * step, o[j], half);
}

/* B' d B of one tile; the positions are `step` apart in v. */
INLINE void input_tile(const void *x, const void *zero, Shape s, Tile tile, void *v, long first, long step, const int half) {
  const void *at[36];
  locate(at, 6, x, zero, s, s.c, tile, 1, half);
  for (long c = 0; c < s.c; c += LANES) {
    vec e[6], f[6];
#define D(i, j) get(at[6 * (i) + (j)], c, half)
    UNROLL
    for (int j = 0; j < 6; j++) e[j] = both * D(0, j) - sum * D(2, j) + D(4, j);
    spread_row(e, v, first + c, step, half);
    UNROLL
    for (int j = 0; j < 6; j++) {
      const vec p = D(4, j) - b2 * D(2, j), q = a * D(3, j) - ab2 * D(1, j);
      e[j] = p + q, f[j] = p - q;
    }
    spread_row(e, v, first + c + 6 * step, step, half);
    spread_row(f, v, first + c + 12 * step, step, half);
    UNROLL
    for (int j = 0; j < 6; j++) {
      const vec p = D(4, j) - a2 * D(2, j), q = b * D(3, j) - ba2 * D(1, j);
      e[j] = p + q, f[j] = p - q;
    }
    spread_row(e, v, first + c + 18 * step, step, half);
    spread_row(f, v, first + c + 24 * step, step, half);
    UNROLL
    for (int j = 0; j < 6; j++) e[j] = both * D(1, j) - sum * D(3, j) + D(5, j);
    spread_row(e, v, first + c + 30 * step, step, half);
#undef D
  }
}

/* A y A' of one tile. */
INLINE void output_gradient_tile(const float *y, const float *zero, Shape s, Tile tile, float *m, long step) {
  const void *at[16];
  locate(at, 4, y, zero, s, s.k, tile, 0, 0);
  for (long k = 0; k < s.k; k += LANES) {
    vec t[24], o[6];
    UNROLL
    for (int j = 0; j < 4; j++)
      spread_outputs(get(at[j], k, 0), get(at[4 + j], k, 0), get(at[8 + j], k, 0), get(at[12 + j], k, 0), t + j, 4);
    UNROLL
    for (int i = 0; i < 6; i++) {
      spread_outputs(t[4 * i], t[4 * i + 1], t[4 * i + 2], t[4 * i + 3], o, 1);
      UNROLL
      for (int j = 0; j < 6; j++) TO(m + (6 * i + j) * step + k) = o[j];
    }
  }
}

/* x, or slope x where it is negative; for slope 0 also of minus infinity, and what is not a number stays so. */
INLINE vec leaky(vec x, float slope) {
  const mask negative = x < 0.0f;
  const mask bent = slope == 0.0f ? (mask){0} : (mask)(slope * x);
  return (vec)((negative & bent) | (~negative & (mask)x));
}

/* A' m A of one tile, the bias, and the activation. */
INLINE void output_tile(const float *m, long step, const float *bias, float slope, void *y, Shape s, Tile tile, const int half) {
  const long rows = s.h - tile.top < 4 ? s.h - tile.top : 4, columns = s.w - tile.left < 4 ? s.w - tile.left : 4;
  const long corner = ((tile.image * s.h + tile.top) * s.w + tile.left) * s.k;
  for (long k = 0; k < s.k; k += LANES) {
    vec t[24], o[4];
    UNROLL
    for (int j = 0; j < 6; j++) {
      const float *p = m + j * step + k;
      gather_outputs(AT(p), AT(p + 6 * step), AT(p + 12 * step), AT(p + 18 * step), AT(p + 24 * step), AT(p + 30 * step), t + j, 6);
    }
    const vec shift = AT(bias + k);
    for (long i = 0; i < rows; i++) {
      const vec *r = t + 6 * i;
      gather_outputs(r[0], r[1], r[2], r[3], r[4], r[5], o, 1);
      for (long j = 0; j < columns; j++) put(y, corner + (i * s.w + j) * s.k + k, leaky(o[j] + shift, slope), half);
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

/* LANES columns of u: [position][c][k], in bf16 [position][c / 2][k][2]. */
INLINE void weight_columns(Weight w, Shape s, long k, void *u, const int half) {
  const long step = step_of(s.c, s.k);
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
        _mm512_storeu_si512((uint16_t *)u + p * step + c * s.k + 2 * k, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
      }
      continue;
    }
#endif
    UNROLL
    for (int p = 0; p < 36; p++) TO((float *)u + p * step + c * s.k + k) = one[p];
  }
}

/* rows x (wide registers) of m = v u, or m += v u where `more`; `length` terms a sum. The strides of v are its own, m's and u's rows are
   `columns` apart. */
INLINE void product(const float *v, long row_step, long term_step, const float *u, float *m, long columns, long length, const int rows,
                    const int wide, const int more) {
  vec total[ROWS > SUMS ? ROWS : SUMS][2];
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int n = 0; n < wide; n++) total[r][n] = more ? AT(m + r * columns + n * LANES) : (vec){0};
  for (long i = 0; i < length; i++) {
    vec term[2];
    UNROLL
    for (int n = 0; n < wide; n++) term[n] = AT(u + i * columns + n * LANES);
    UNROLL
    for (int r = 0; r < rows; r++) {
      const float value = v[r * row_step + i * term_step];
      UNROLL
      for (int n = 0; n < wide; n++) total[r][n] += value * term[n];
    }
  }
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int n = 0; n < wide; n++) TO(m + r * columns + n * LANES) = total[r][n];
}

#if HALF
INLINE void half_product(const uint16_t *v, const uint16_t *u, float *m, Shape s, const int wide) {
  __m512 total[ROWS][2];
  UNROLL
  for (int t = 0; t < ROWS; t++) UNROLL
  for (int n = 0; n < wide; n++) total[t][n] = _mm512_setzero_ps();
  for (long c = 0; c < s.c; c += 2) {
    __m512bh row[2];
    UNROLL
    for (int n = 0; n < wide; n++) row[n] = (__m512bh)_mm512_loadu_si512(u + c * s.k + 2 * n * LANES);
    UNROLL
    for (int t = 0; t < ROWS; t++) {
      int32_t pair;
      memcpy(&pair, v + t * s.c + c, 4);
      const __m512bh value = (__m512bh)_mm512_set1_epi32(pair);
      UNROLL
      for (int n = 0; n < wide; n++) total[t][n] = _mm512_dpbf16_ps(total[t][n], value, row[n]);
    }
  }
  UNROLL
  for (int t = 0; t < ROWS; t++) UNROLL
  for (int n = 0; n < wide; n++) TO(m + t * s.k + n * LANES) = (vec)total[t][n];
}
#endif

INLINE void block_product(const void *v, const void *u, float *m, Shape s, long tiles, const int half) {
  for (long k = 0; k < s.k; k += 2 * LANES)
    for (long t = 0; t < tiles; t += ROWS) {
      const int wide = k + LANES < s.k;
#if HALF
      if (half) {
        const uint16_t *rows = (const uint16_t *)v + t * s.c, *columns = (const uint16_t *)u + 2 * k;
        if (wide) half_product(rows, columns, m + t * s.k + k, s, 2);
        else half_product(rows, columns, m + t * s.k + k, s, 1);
        continue;
      }
#endif
      const float *rows = (const float *)v + t * s.c, *columns = (const float *)u + k;
      if (wide) product(rows, s.c, 1, columns, m + t * s.k + k, s.k, s.c, ROWS, 2, 0);
      else product(rows, s.c, 1, columns, m + t * s.k + k, s.k, s.c, ROWS, 1, 0);
    }
}

/* One thread's part of the tiles; its memory holds u, v, m and zeros. */
INLINE void convolve(const void *x, Weight w, const float *bias, float slope, void *y, Shape s, float *memory, int part, int parts,
                     const int half) {
  const long step_u = step_of(s.c, s.k), step_v = step_of(BLOCK, s.c), step_m = step_of(BLOCK, s.k);
  const long last = tiles_of(s) * (part + 1) / parts, size = half ? 2 : 4;
  float *u = memory, *v = u + POSITIONS * step_u, *m = v + POSITIONS * step_v, *zero = m + POSITIONS * step_m;
  memset(zero, 0, s.c * sizeof(float));
  /* Every thread for itself: waiting for the others would cost more. */
  for (long k = 0; k < s.k; k += LANES) weight_columns(w, s, k, u, half);
  for (long first = tiles_of(s) * part / parts; first < last; first += BLOCK) {
    const long count = first + BLOCK < last ? BLOCK : last - first;
    for (long t = 0; t < count; t++) input_tile(x, zero, s, tile_at(first + t, s), v, t * s.c, step_v, half);
    for (long p = 0; p < POSITIONS; p++)
      block_product((char *)v + p * step_v * size, (char *)u + p * step_u * size, m + p * step_m, s, count, half);
    for (long t = 0; t < count; t++) output_tile(m + t * s.k, step_m, bias, slope, y, s, tile_at(first + t, s), half);
  }
}

/* One thread's part of u = sum over tiles of v' m. */
INLINE void weight_gradient(const float *x, const float *dy, Shape s, float *memory, int part, int parts) {
  const long step_u = step_of(s.c, s.k), step_v = step_of(BLOCK, s.c), step_m = step_of(BLOCK, s.k);
  const long last = tiles_of(s) * (part + 1) / parts, size = POSITIONS * step_u;
  float *u = memory, *v = u + size, *m = v + POSITIONS * step_v, *zero = m + POSITIONS * step_m;
  memset(u, 0, size * sizeof(float));
  memset(zero, 0, (s.c > s.k ? s.c : s.k) * sizeof(float));
  for (long first = tiles_of(s) * part / parts; first < last; first += BLOCK) {
    const long count = first + BLOCK < last ? BLOCK : last - first;
    for (long t = 0; t < count; t++) {
      input_tile(x, zero, s, tile_at(first + t, s), v, t * s.c, step_v, 0);
      output_gradient_tile(dy, zero, s, tile_at(first + t, s), m + t * s.k, step_m);
    }
    for (long p = 0; p < POSITIONS; p++)
      for (long k = 0; k < s.k; k += 2 * LANES)
        for (long c = 0; c < s.c; c += SUMS) {
          const float *rows = v + p * step_v + c, *columns = m + p * step_m + k;
          float *to = u + p * step_u + c * s.k + k;
          if (k + LANES < s.k) product(rows, 1, s.c, columns, to, s.k, count, SUMS, 2, 1);
          else product(rows, 1, s.c, columns, to, s.k, count, SUMS, 1, 1);
        }
  }
}

/* Each thread transforms the weight anew: more of them than there are blocks would do only that. */
INLINE int useful(int threads, Shape s) {
  const long blocks = (tiles_of(s) + BLOCK - 1) / BLOCK;
  return blocks < 1 ? 1 : blocks < threads ? (int)blocks : threads;
}

/* Floats of memory for one thread. */
long winograd_memory(long c, long k) { return POSITIONS * (step_of(c, k) + step_of(BLOCK, c) + step_of(BLOCK, k)) + (c > k ? c : k); }

int winograd_half(void) { return HALF; }

/* y (n, h, w, k) = the convolution of x (n, h, w, c) with w, plus the bias (k), and slope times that where it is negative;
   with `half`, x and y are bf16. */
void winograd_convolution(const void *x, const float *w, long wk, long wc, long wi, long wj, const float *bias, float slope, void *y,
                          long n, long h, long width, long c, long k, float *memory, int threads, int half) {
  const Shape s = {n, h, width, c, k};
  const Weight weight = {w, wk, wc, wi, wj};
  const long own = winograd_memory(c, k);
  threads = useful(threads, s);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int part = 0; part < threads; part++) {
    if (HALF && half) convolve(x, weight, bias, slope, y, s, memory + part * own, part, threads, HALF);
    else convolve(x, weight, bias, slope, y, s, memory + part * own, part, threads, 0);
  }
}

/* dw (k, 3, 3, c) = the derivative of sum(y dy) in w: sums over each thread's tiles in their order, then over threads. */
void winograd_weight_gradient(const float *x, const float *dy, float *dw, long n, long h, long width, long c, long k, float *memory,
                              int threads) {
  const Shape s = {n, h, width, c, k};
  const long own = winograd_memory(c, k), step = step_of(c, k);
  threads = useful(threads, s);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int part = 0; part < threads; part++) weight_gradient(x, dy, s, memory + part * own, part, threads);
  for (long i = 0; i < c; i++)
    for (long o = 0; o < k; o += LANES) {
      vec u[36], t[18], g[9];
      UNROLL
      for (int p = 0; p < 36; p++) {
        u[p] = AT(memory + p * step + i * k + o);
        for (int part = 1; part < threads; part++) u[p] += AT(memory + part * own + p * step + i * k + o);
      }
      UNROLL
      for (int j = 0; j < 6; j++) gather_weights(u[j], u[6 + j], u[12 + j], u[18 + j], u[24 + j], u[30 + j], t + j, 6);
      UNROLL
      for (int r = 0; r < 3; r++)
        gather_weights(t[6 * r], t[6 * r + 1], t[6 * r + 2], t[6 * r + 3], t[6 * r + 4], t[6 * r + 5], g + 3 * r, 1);
      for (int j = 0; j < 9; j++)
        for (int l = 0; l < LANES; l++) dw[((o + l) * 9 + j) * c + i] = g[j][l];
    }
}
