/* 3x3 convolutions (stride 1, padding 1, channels last) by Winograd's minimal filtering F(4x4, 3x3); see winograd.py.

   A tile of 4x4 outputs takes 6x6 inputs: y = A' [ (G w G') * (B' d B) ] A, one product over the channels for each of 36
   positions where the direct convolution makes 144. The interpolation points are 0, +-3/4, +-3/2 and infinity: A and B are
   then exact in single precision, and rounding is amplified half as much as with the usual 0, +-1, +-2.

   Tiles are taken in blocks, and of these one row of six positions after the other: what is transformed then stays in a core's
   nearest cache until its product is made, and a product's row of six is four sums when it is stored. Channels must be multiples
   of 16. */
#include "winograd_transforms.h"

/* A row of six positions of v u for ROWS tiles and COLUMNS registers of channels out, u's `apart` bytes apart, and A' along it:
   m[column][tile][4][LANES], columns apart by 24 BLOCK LANES, tiles by 24 LANES. */
INLINE void row_product(const void *v, const void *u, long apart, float *m, long channels, const int half) {
  const long size = half ? 2 : 4;
  vec total[6][COLUMNS][ROWS];
  for (int first = 0; first < 6; first += TOGETHER) {
    vec sums[TOGETHER][COLUMNS][ROWS] = {0};
    for (long block = 0; block < channels; block += LANES) {
      const char *from = (const char *)v + (block * BLOCK * 6 + first * NEXT_POSITION(BLOCK)) * size;
      const char *with = (const char *)u + (block * NEXT_TILE + first * NEXT_POSITION(channels)) * size;
      STEPS
      for (int c = 0; c < LANES; c += half ? 2 : 1) UNROLL
      for (int j = 0; j < TOGETHER; j++) {
        vec terms[COLUMNS];
        UNROLL
        for (int k = 0; k < COLUMNS; k++) {
          terms[k] = AT((const float *)(with + k * apart) + (half ? c / 2 : c) * NEXT_TILE + j * LANES);
          IN_REGISTER(terms[k]);
        }
        UNROLL
        for (int t = 0; t < ROWS; t++) {
          const long at = t * NEXT_TILE + j * LANES + c;
#if HALF
          if (half) {
            int32_t pair;
            memcpy(&pair, (const uint16_t *)from + at, 4);
            UNROLL
            for (int k = 0; k < COLUMNS; k++)
              sums[j][k][t] = (vec)_mm512_dpbf16_ps((__m512)sums[j][k][t], (__m512bh)_mm512_set1_epi32(pair), (__m512bh)terms[k]);
            continue;
          }
#endif
          const vec factor = ((const float *)from)[at] - (vec){0};
          UNROLL
          for (int k = 0; k < COLUMNS; k++) sums[j][k][t] += factor * terms[k];
        }
      }
    }
    UNROLL
    for (int j = 0; j < TOGETHER; j++) UNROLL
    for (int k = 0; k < COLUMNS; k++) UNROLL
    for (int t = 0; t < ROWS; t++) total[first + j][k][t] = sums[j][k][t];
  }
  UNROLL
  for (int k = 0; k < COLUMNS; k++) UNROLL
  for (int t = 0; t < ROWS; t++) {
    vec o[4];
#define M(j) total[j][k][t]
    gather_outputs(M(0), M(1), M(2), M(3), M(4), M(5), o, 1);
#undef M
    UNROLL
    for (int q = 0; q < 4; q++) TO(m + ((k * BLOCK + t) * 24 + q) * LANES) = o[q];
  }
}

/* Half of the rows of a block's tiles: m[k / LANES][tile][6][4][LANES]. */
INLINE void block_rows(const Term *terms, const void *zero, Shape s, long first, long count, const Part part, char *v, const char *u,
                       float *m, const int stored, const int half) {
  const long size = half ? 2 : 4;
  for (long c = 0; c < s.all; c += s.c) input_rows(terms[c / s.c].x, zero, s, first, count, part, v + c * 6 * BLOCK * size, stored, half);
  for (long i = 0; i < 3; i++) {
    const long row = 3 * part + i;
    const char *rows = v + i * 6 * BLOCK * s.all * size, *columns = u + row * 6 * s.all * s.k * size;
    for (long k = 0; k < s.k; k += COLUMNS * LANES)
      for (long t = 0; t < count; t += ROWS)
        row_product(rows + t * NEXT_TILE * size, columns + k * s.all * 6 * size, s.all * SIX * size,
                    m + (k * BLOCK + t * LANES) * 24 + row * 4 * LANES, s.all, half);
  }
}

/* One thread's part of the tiles; its memory holds u, v, m and zeros. */
INLINE void convolve(const Term *terms, const float *bias, float slope, void *y, Shape s, float *memory, int part, int parts,
                     const int stored, const int half) {
  const long last = tiles_of(s) * (part + 1) / parts;
  float *u = memory, *v = u + 36 * s.all * s.k, *m = v + 36 * BLOCK * s.all, *zero = m + 36 * BLOCK * s.k;
  memset(zero, 0, s.c * sizeof(float));
  /* Every thread for itself: waiting for the others would cost more. */
  for (long c = 0; c < s.all; c += s.c)
    for (long k = 0; k < s.k; k += LANES) weight_columns(terms[c / s.c].w, s, c, k, u, half);
  for (long first = tiles_of(s) * part / parts; first < last; first += BLOCK) {
    const long count = first + BLOCK < last ? BLOCK : last - first;
    block_rows(terms, zero, s, first, count, UPPER, (char *)v, (char *)u, m, stored, half);
    block_rows(terms, zero, s, first, count, LOWER, (char *)v, (char *)u, m, stored, half);
    for (long t = 0; t < count; t++) output_tile(m + t * 24 * LANES, bias, slope, y, s, tile_at(first + t, s), stored);
  }
}

/* ROWS rows of six of u += v' m in COLUMNS registers, m's 6 BLOCK LANES apart and u's `apart`, summed over tiles: a sum of its own,
   since one long chain of sums would round more. */
INLINE void gradient_product(const float *v, const float *m, float *u, long apart, long tiles) {
  for (int first = 0; first < 6; first += TOGETHER) {
    vec sums[TOGETHER][COLUMNS][ROWS] = {0};
    STEPS
    for (long t = 0; t < tiles; t++) UNROLL
    for (int j = 0; j < TOGETHER; j++) {
      const long at = t * NEXT_TILE + first * NEXT_POSITION(BLOCK) + j * LANES;
      vec terms[COLUMNS];
      UNROLL
      for (int k = 0; k < COLUMNS; k++) {
        terms[k] = AT(m + k * 6 * BLOCK * LANES + at);
        IN_REGISTER(terms[k]);
      }
      UNROLL
      for (int r = 0; r < ROWS; r++) {
        const vec factor = v[at + r] - (vec){0};
        UNROLL
        for (int k = 0; k < COLUMNS; k++) sums[j][k][r] += factor * terms[k];
      }
    }
    UNROLL
    for (int j = 0; j < TOGETHER; j++) UNROLL
    for (int k = 0; k < COLUMNS; k++) UNROLL
    for (int r = 0; r < ROWS; r++) TO(u + k * apart + r * SIX + (first + j) * LANES) += sums[j][k][r];
  }
}

/* One thread's part of u = sum over tiles of v' m. */
INLINE void weight_gradient(const void *x, const void *dy, Shape s, float *memory, int part, int parts, const int stored) {
  const long last = tiles_of(s) * (part + 1) / parts, size = 36 * s.c * s.k;
  float *u = memory, *v = u + size, *m = v + 36 * BLOCK * s.c, *zero = m + 36 * BLOCK * s.k;
  memset(u, 0, size * sizeof(float));
  memset(zero, 0, (s.c > s.k ? s.c : s.k) * sizeof(float));
  for (long first = tiles_of(s) * part / parts; first < last; first += BLOCK) {
    const long count = first + BLOCK < last ? BLOCK : last - first;
    input_rows(x, zero, s, first, count, UPPER, v, stored, 0);
    input_rows(x, zero, s, first, count, LOWER, v + 3 * 6 * BLOCK * s.c, stored, 0);
    for (long t = 0; t < count; t++) output_gradient_tile(dy, zero, s, tile_at(first + t, s), m + t * NEXT_TILE, stored);
    for (long i = 0; i < 6; i++)
      for (long k = 0; k < s.k; k += COLUMNS * LANES)
        for (long c = 0; c < s.c; c += ROWS)
          gradient_product(v + (i * s.c + c / LANES * LANES) * 6 * BLOCK + c % LANES, m + (i * s.k + k) * 6 * BLOCK,
                           u + ((i * s.k + k) * s.c + c * LANES) * 6, s.c * SIX, count);
  }
}

/* Each thread transforms the weight anew: more of them than there are blocks would do only that. */
INLINE int useful(int threads, Shape s) {
  const long blocks = (tiles_of(s) + BLOCK - 1) / BLOCK;
  return blocks < 1 ? 1 : blocks < threads ? (int)blocks : threads;
}

/* Floats of memory for one thread. */
long winograd_memory(long c, long k) { return 36 * (c * k + BLOCK * c + BLOCK * k) + (c > k ? c : k); }

/* Whether bf16 images gain from this. */
int winograd_stored(void) { return STORED; }

/* Whether they can be multiplied as they are. */
int winograd_half(void) { return HALF; }

/* y (n, h, w, k) = the sum over `count` terms of the convolutions of x (n, h, w, c) with w, plus the bias (k), and slope times that
   where it is negative; with `stored`, x and y are bf16, and with `half` what is
   multiplied is too. */
void winograd_convolution(const Term *terms, long count, const float *bias, float slope, void *y, long n, long h, long width, long c,
                          long k, float *memory, int threads, int stored, int half) {
  const Shape s = {n, h, width, c, k, count * c};
  const long own = winograd_memory(s.all, k);
  threads = useful(threads, s);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int part = 0; part < threads; part++) {
    if (HALF && half) convolve(terms, bias, slope, y, s, memory + part * own, part, threads, HALF, HALF);
    else if (stored) convolve(terms, bias, slope, y, s, memory + part * own, part, threads, 1, 0);
    else convolve(terms, bias, slope, y, s, memory + part * own, part, threads, 0, 0);
  }
}

/* dw (k, 3, 3, c) = the derivative of sum(y dy) in w: sums over each thread's tiles in their order, then over threads. */
void winograd_weight_gradient(const void *x, const void *dy, float *dw, long n, long h, long width, long c, long k, float *memory,
                              int threads, int stored) {
  const Shape s = {n, h, width, c, k, c};
  const long own = winograd_memory(c, k);
  threads = useful(threads, s);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int part = 0; part < threads; part++) {
    if (stored) weight_gradient(x, dy, s, memory + part * own, part, threads, 1);
    else weight_gradient(x, dy, s, memory + part * own, part, threads, 0);
  }
  for (long i = 0; i < c; i++)
    for (long o = 0; o < k; o += LANES) {
      vec u[36], t[18], g[9];
      for (int p = 0; p < 36; p++) {
        const float *from = memory + ((p / 6 * k + o) * c + i * LANES) * 6 + p % 6 * LANES;
        u[p] = AT(from);
        for (int part = 1; part < threads; part++) u[p] += AT(from + part * own);
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
