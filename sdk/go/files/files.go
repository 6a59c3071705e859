// Package files has the files of the folders that the plugin was granted, under the paths at which its plugin.toml puts them. Go's own
// package os finds the same folders; these functions say in the error what was refused, and why.
package files

import (
	"nereid"
	host "nereid/internal/contract/nereid_plugin_files"
)

// Entry is what lies in a folder: name, bytes of a file, whether it is a folder.
type Entry struct {
	Name     string
	Size     uint64
	IsFolder bool
}

// Read is the whole file.
func Read(path string) ([]byte, error) {
	return nereid.Checked(host.Read(path))
}

// ReadRange is at most so many bytes from an offset on; fewer where the file ends.
func ReadRange(path string, offset, length uint32) ([]byte, error) {
	return nereid.Checked(host.ReadRange(path, offset, length))
}

// Write makes the file, or puts data in the place of all that it held. Only in folders that are granted for writing.
func Write(path string, data []byte) error {
	return nereid.Done(host.Write(path, data))
}

// Remove deletes the file. Only in folders that are granted for writing.
func Remove(path string) error {
	return nereid.Done(host.Remove(path))
}

// List is what lies in the folder, ordered by name.
func List(path string) ([]Entry, error) {
	found, err := nereid.Checked(host.ListFolder(path))
	entries := make([]Entry, len(found))
	for index, entry := range found {
		entries[index] = Entry{entry.Name, entry.Size, entry.IsFolder}
	}
	return entries, err
}
