//===- TileEmulator.cpp - AMX instructions on machines without ------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileEmulator.h"

#include <atomic>
#include <cmath>
#include <cpuid.h>
#include <cstdlib>
#include <cstring>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

namespace joinery::test {
namespace {

constexpr int kTiles = 8, kRows = 16, kRowBytes = 64;

struct Tiles {
  bool configured = false;
  int rows[kTiles] = {}, bytes[kTiles] = {};
  uint8_t data[kTiles][kRows][kRowBytes] = {};
};
thread_local Tiles tiles;
std::atomic<uint64_t> count{0};

float fromHalf(const uint8_t *at) {
  uint16_t half;
  std::memcpy(&half, at, 2);
  // Denormals are zero.
  uint32_t bits = half & 0x7f80 ? uint32_t(half) << 16 : 0;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

/// c += a * b, where b holds the rows of k interleaved in pairs.
bool multiply(int c, int a, int b) {
  if (tiles.bytes[a] / 4 != tiles.rows[b] || tiles.rows[a] != tiles.rows[c] ||
      tiles.bytes[b] != tiles.bytes[c])
    return false;
  for (int m = 0; m < tiles.rows[c]; ++m)
    for (int n = 0; n < tiles.bytes[c] / 4; ++n) {
      float even = 0, odd = 0, sum;
      for (int k = 0; k < tiles.bytes[a] / 4; ++k) {
        const uint8_t *x = &tiles.data[a][m][4 * k];
        const uint8_t *y = &tiles.data[b][k][4 * n];
        even = std::fma(fromHalf(x), fromHalf(y), even);
        odd = std::fma(fromHalf(x + 2), fromHalf(y + 2), odd);
      }
      std::memcpy(&sum, &tiles.data[c][m][4 * n], 4);
      sum += even + odd;
      std::memcpy(&tiles.data[c][m][4 * n], &sum, 4);
    }
  return true;
}

bool configure(const uint8_t *memory) {
  // Palette 0 releases the tiles, palette 1 has eight of 1 KiB.
  tiles = Tiles();
  if (memory[0] == 0)
    return true;
  if (memory[0] != 1)
    return false;
  tiles.configured = true;
  for (int t = 0; t < kTiles; ++t) {
    uint16_t bytes;
    std::memcpy(&bytes, memory + 16 + 2 * t, 2);
    tiles.bytes[t] = bytes;
    tiles.rows[t] = memory[48 + t];
    if (bytes > kRowBytes || tiles.rows[t] > kRows ||
        (bytes == 0) != (tiles.rows[t] == 0))
      return false;
  }
  return true;
}

/// The operands of one instruction in VEX form with a three-byte prefix.
class Instruction {
public:
  explicit Instruction(ucontext_t *context)
      : registers(context->uc_mcontext.gregs),
        code(reinterpret_cast<const uint8_t *>(registers[REG_RIP])) {}

  /// False if it is not an instruction of tiles, or one that must fault.
  bool run() {
    // C4, map 0F 38, W = 0, 128 bits.
    if (code[0] != 0xc4 || (code[1] & 0x1f) != 2 || code[2] & 0x84)
      return false;
    int prefix = code[2] & 3, opcode = code[3];
    modrm = code[4];
    at = code + 5;
    bool memory = modrm >> 6 != 3;
    int reg = modrm >> 3 & 7, rm = modrm & 7, third = ~code[2] >> 3 & 7;
    enum { None, P66, F3, F2 };
    if (opcode == 0x49 && prefix == None && memory)
      return configure(address()) && advance();
    if (opcode == 0x49 && prefix == None && modrm == 0xc0) {
      tiles = Tiles();
      return advance();
    }
    if (!tiles.configured || (opcode != 0x49 && !tiles.rows[reg]))
      return false;
    if (opcode == 0x49 && prefix == F2 && !memory && rm == 0) {
      if (!tiles.rows[reg])
        return false;
      std::memset(tiles.data[reg], 0, sizeof(tiles.data[reg]));
      return advance();
    }
    if (opcode == 0x4b && memory && rm == 4) {
      uint8_t *base = address();
      for (int r = 0; r < kRows; ++r) {
        uint8_t *row = tiles.data[reg][r], *there = base + r * stride;
        bool inside = r < tiles.rows[reg];
        if (prefix == F3) {
          if (inside)
            std::memcpy(there, row, tiles.bytes[reg]);
        } else if (prefix == F2 || prefix == P66) { // the second is a hint
          std::memset(row, 0, kRowBytes);
          if (inside)
            std::memcpy(row, there, tiles.bytes[reg]);
        } else {
          return false;
        }
      }
      return advance();
    }
    if (opcode == 0x5c && prefix == F3 && !memory)
      return multiply(reg, rm, third) && advance();
    return false;
  }

private:
  int64_t value(int number) const {
    static const int order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX,
                                REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};
    return registers[order[number]];
  }
  template <typename Integer> int64_t take() {
    Integer integer;
    std::memcpy(&integer, at, sizeof(integer));
    at += sizeof(integer);
    return integer;
  }

  /// The address that ModRM and SIB name; of a SIB, the index is the stride of
  /// tile loads and stores and no part of it.
  uint8_t *address() {
    int mode = modrm >> 6, rm = modrm & 7;
    bool extendBase = !(code[1] & 0x20), extendIndex = !(code[1] & 0x40);
    int64_t base = 0, index = 0;
    if (rm == 4) {
      int sib = *at++;
      int baseNumber = sib & 7, indexNumber = (sib >> 3 & 7) + 8 * extendIndex;
      index = indexNumber == 4 ? 0 : value(indexNumber) << (sib >> 6);
      base = baseNumber == 5 && mode == 0
                 ? take<int32_t>()
                 : value(baseNumber + 8 * extendBase);
    } else if (mode == 0 && rm == 5) {
      int64_t distance = take<int32_t>();
      base = int64_t(at) + distance;
    } else {
      base = value(rm + 8 * extendBase);
    }
    if (mode == 1)
      base += take<int8_t>();
    else if (mode == 2)
      base += take<int32_t>();
    stride = index;
    if (code[3] == 0x49)
      base += index;
    return reinterpret_cast<uint8_t *>(base);
  }

  bool advance() {
    registers[REG_RIP] = greg_t(at);
    count.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  greg_t *registers;
  const uint8_t *code, *at = nullptr;
  int modrm = 0;
  int64_t stride = 0;
};

void handle(int, siginfo_t *, void *context) {
  if (!Instruction(static_cast<ucontext_t *>(context)).run()) {
    static const char text[] = "TileEmulator: no valid tile instruction\n";
    (void)!::write(2, text, sizeof(text) - 1);
    std::abort();
  }
}

} // namespace

bool hasTiles() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 24 & 1) ||
      !(d >> 22 & 1))
    return false;
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

TileEmulator::TileEmulator() {
  if (hasTiles())
    return;
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO;
  installed = ::sigaction(SIGILL, &action, &previous) == 0;
}

TileEmulator::~TileEmulator() {
  if (installed)
    ::sigaction(SIGILL, &previous, nullptr);
}

uint64_t TileEmulator::emulated() { return count; }

} // namespace joinery::test
