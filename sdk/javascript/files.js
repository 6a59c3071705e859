// Files of the folders that the plugin was granted, under the paths at which its `plugin.toml` puts them.
//
//     // [[grants.files]] path = "data", at = "/data"
//     const words = files.readText("/data/words.txt").split("\n");

import * as host from "nereid:plugin/files";

import { asking } from "./errors.js";
import { decode, encode } from "./text.js";

/// The whole file as a `Uint8Array`.
export function read(path) {
  return asking(() => host.read(path));
}

/// The whole file as a string; it must be UTF-8.
export function readText(path) {
  return decode(read(path));
}

/// At most `length` bytes from `offset` on; fewer where the file ends.
export function readRange(path, offset, length) {
  return asking(() => host.readRange(path, offset, length));
}

/// Makes the file, or puts `data` (bytes or a string) in the place of all that it held. Only in folders that are granted for
/// writing.
export function write(path, data) {
  asking(() => host.write(path, typeof data === "string" ? encode(data) : data));
}

/// Deletes the file. Only in folders that are granted for writing.
export function remove(path) {
  asking(() => host.remove(path));
}

/// What lies in the folder, ordered by name: `{ name, size, isFolder }`.
export function listFolder(path) {
  return asking(() => host.listFolder(path)).map(({ name, size, isFolder }) => ({ name, size: Number(size), isFolder }));
}
