// Package durable writes files and folders that are either whole or absent: a
// crash, a full disk or a kill in the middle leaves what was there before.
//
// Everything is first written beside its place, as .NAME.partial-RANDOM, then
// synced to disk, renamed, and the rename itself synced (not on Windows, which
// cannot sync a folder). A folder that replaces another moves that aside for a
// moment, as .NAME.replaced-RANDOM. What a killed process leaves under such
// names [Clean] takes away.
package durable
