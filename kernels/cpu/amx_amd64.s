//go:build !purego

#include "textflag.h"

// Go's assembler has no AMX, so its instructions are put together here. A memory
// operand is (base)(index*1) with a displacement.
#define regAX 0
#define regCX 1
#define regDX 2
#define regBX 3
#define regSI 6
#define regDI 7

#define LDTILECFG_AX BYTE $0xC4; BYTE $0xE2; BYTE $0x78; BYTE $0x49; BYTE $0x00
#define TILERELEASE BYTE $0xC4; BYTE $0xE2; BYTE $0x78; BYTE $0x49; BYTE $0xC0
#define TILEZERO(t) BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x49; BYTE $(0xC0|t<<3)
#define TILELOADD(t, base, index, disp) BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x4B; BYTE $(0x84|t<<3); BYTE $(index<<3|base); LONG $disp
#define TILESTORED(t, base, index, disp) BYTE $0xC4; BYTE $0xE2; BYTE $0x7A; BYTE $0x4B; BYTE $(0x84|t<<3); BYTE $(index<<3|base); LONG $disp
// TDPBF16PS: tile c += a·b.
#define TDPBF16PS(c, a, b) BYTE $0xC4; BYTE $0xE2; BYTE $((15-b)<<3|2); BYTE $0x5C; BYTE $(0xC0|c<<3|a)

// All eight tiles have 16 rows of 64 bytes.
DATA tileConfig<>+0(SB)/8, $1
DATA tileConfig<>+8(SB)/8, $0
DATA tileConfig<>+16(SB)/8, $0x0040004000400040
DATA tileConfig<>+24(SB)/8, $0x0040004000400040
DATA tileConfig<>+32(SB)/8, $0
DATA tileConfig<>+40(SB)/8, $0
DATA tileConfig<>+48(SB)/8, $0x1010101010101010
DATA tileConfig<>+56(SB)/8, $0
GLOBL tileConfig<>(SB), RODATA|NOPTR, $64

// Tiles 0 to 3 are c, two by two; 4 and 5 are a, 6 and 7 are b.
#define LOADA(term) TILELOADD(4, regSI, regDX, 2048*term); TILELOADD(5, regSI, regDX, 2048*term+1024)
#define LOADB(term) TILELOADD(6, regDI, regDX, 2048*term); TILELOADD(7, regDI, regDX, 2048*term+1024)
#define PRODUCTS TDPBF16PS(0, 4, 6); TDPBF16PS(1, 4, 7); TDPBF16PS(2, 5, 6); TDPBF16PS(3, 5, 7)

// What the routines below share. BEGIN: R8 panels of b are left, of R9 rounds each;
// a begins at R10, b at DI, c at BX with rows CX bytes apart.
#define BEGIN \
	LEAQ tileConfig<>(SB), AX; \
	LDTILECFG_AX; \
	MOVQ panels+0(FP), R8; \
	MOVQ rounds+8(FP), R9; \
	MOVQ a_base+16(FP), R10; \
	MOVQ b_base+40(FP), DI; \
	MOVQ c_base+64(FP), BX; \
	MOVQ cRow+88(FP), CX; \
	MOVBLZX add+96(FP), R13; \
	SHLQ $2, CX; \
	MOVQ CX, R11; \
	SHLQ $4, R11; \
	MOVQ $64, DX

#define LOADC \
	LEAQ (BX)(R11*1), AX; \
	TILELOADD(0, regBX, regCX, 0); \
	TILELOADD(1, regBX, regCX, 64); \
	TILELOADD(2, regAX, regCX, 0); \
	TILELOADD(3, regAX, regCX, 64)

#define CLEARC TILEZERO(0); TILEZERO(1); TILEZERO(2); TILEZERO(3)

#define STOREC \
	LEAQ (BX)(R11*1), AX; \
	TILESTORED(0, regBX, regCX, 0); \
	TILESTORED(1, regBX, regCX, 64); \
	TILESTORED(2, regAX, regCX, 0); \
	TILESTORED(3, regAX, regCX, 64); \
	ADDQ $128, BX

// func multiplyTiles11AMX(panels, rounds int, a, b, c []float32, cRow int, add bool)
TEXT ·multiplyTiles11AMX(SB), NOSPLIT, $0-97
	BEGIN
panel:
	MOVQ R10, SI
	MOVQ R9, R12
	TESTQ R13, R13
	JZ clear
	LOADC
	JMP round
clear:
	CLEARC
round:
	LOADB(0)
	LOADA(0)
	PRODUCTS
	ADDQ $2048, SI
	ADDQ $2048, DI
	DECQ R12
	JNZ round
	STOREC
	DECQ R8
	JNZ panel
	TILERELEASE
	RET

// func multiplyTiles21AMX(panels, rounds int, a, b, c []float32, cRow int, add bool)
TEXT ·multiplyTiles21AMX(SB), NOSPLIT, $0-97
	BEGIN
panel:
	MOVQ R10, SI
	MOVQ R9, R12
	TESTQ R13, R13
	JZ clear
	LOADC
	JMP round
clear:
	CLEARC
round:
	LOADB(0)
	LOADA(1)
	PRODUCTS
	LOADA(0)
	PRODUCTS
	ADDQ $4096, SI
	ADDQ $2048, DI
	DECQ R12
	JNZ round
	STOREC
	DECQ R8
	JNZ panel
	TILERELEASE
	RET

// func multiplyTiles22AMX(panels, rounds int, a, b, c []float32, cRow int, add bool)
TEXT ·multiplyTiles22AMX(SB), NOSPLIT, $0-97
	BEGIN
panel:
	MOVQ R10, SI
	MOVQ R9, R12
	TESTQ R13, R13
	JZ clear
	LOADC
	JMP round
clear:
	CLEARC
round:
	LOADB(1)
	LOADA(0)
	PRODUCTS
	LOADB(0)
	PRODUCTS
	LOADA(1)
	PRODUCTS
	ADDQ $4096, SI
	ADDQ $4096, DI
	DECQ R12
	JNZ round
	STOREC
	DECQ R8
	JNZ panel
	TILERELEASE
	RET

// func multiplyTiles31AMX(panels, rounds int, a, b, c []float32, cRow int, add bool)
TEXT ·multiplyTiles31AMX(SB), NOSPLIT, $0-97
	BEGIN
panel:
	MOVQ R10, SI
	MOVQ R9, R12
	TESTQ R13, R13
	JZ clear
	LOADC
	JMP round
clear:
	CLEARC
round:
	LOADB(0)
	LOADA(2)
	PRODUCTS
	LOADA(1)
	PRODUCTS
	LOADA(0)
	PRODUCTS
	ADDQ $6144, SI
	ADDQ $2048, DI
	DECQ R12
	JNZ round
	STOREC
	DECQ R8
	JNZ panel
	TILERELEASE
	RET

// func multiplyTiles33AMX(panels, rounds int, a, b, c []float32, cRow int, add bool)
TEXT ·multiplyTiles33AMX(SB), NOSPLIT, $0-97
	BEGIN
panel:
	MOVQ R10, SI
	MOVQ R9, R12
	TESTQ R13, R13
	JZ clear
	LOADC
	JMP round
clear:
	CLEARC
round:
	LOADB(0)
	LOADA(2)
	PRODUCTS
	LOADA(1)
	PRODUCTS
	LOADA(0)
	PRODUCTS
	LOADB(1)
	PRODUCTS
	LOADA(1)
	PRODUCTS
	LOADB(2)
	LOADA(0)
	PRODUCTS
	ADDQ $6144, SI
	ADDQ $6144, DI
	DECQ R12
	JNZ round
	STOREC
	DECQ R8
	JNZ panel
	TILERELEASE
	RET
