// Package state has small values that outlive the instance: shared by all instances and versions of the plugin's model, kept over
// swaps, gone when the server ends or the model is unloaded. Bytes and keys of one model are limited together.
//
// Every change gives a value another version, so that Swap writes only while nobody else did.
package state

import (
	"time"

	"nereid"
	host "nereid/internal/contract/nereid_plugin_state"
	wit "nereid/internal/wit/types"
)

// Entry is a value, and which change made it.
type Entry struct {
	Value   []byte
	Version uint64
}

// Get is the value under a key; nil if there is none.
func Get(key string) (*Entry, error) {
	found, err := nereid.Checked(host.Get(key))
	if err != nil {
		return nil, err
	}
	entry, present := found.Get()
	if !present {
		return nil, nil
	}
	return &Entry{entry.Value, entry.Version}, nil
}

// Set writes whatever is there, and gives the version. The value is forgotten after its lifetime; with 0 never.
func Set(key string, value []byte, lifetime time.Duration) (uint64, error) {
	return nereid.Checked(host.Set(key, value, milliseconds(lifetime)))
}

// Swap writes if the version there is still the expected one; nil expects that there is no value. Not swapped means that somebody
// else was quicker: then Get again.
func Swap(key string, value []byte, expected *uint64, lifetime time.Duration) (version uint64, swapped bool, err error) {
	made, err := nereid.Checked(host.Swap(key, value, wit.OfPointer(expected), milliseconds(lifetime)))
	version, swapped = made.Get()
	return version, swapped, err
}

// Add adds to the whole number under a key, 0 when there is none, and gives the sum.
func Add(key string, amount int64) (int64, error) {
	return nereid.Checked(host.Add(key, amount))
}

// Delete forgets a key, and says whether there was a value.
func Delete(key string) (bool, error) {
	return nereid.Checked(host.Delete(key))
}

// Keys are those that begin with a prefix, in order, at most so many.
func Keys(prefix string, limit int) ([]string, error) {
	return nereid.Checked(host.Keys(prefix, uint32(limit)))
}

// milliseconds are rounded up, so that a short time is still one.
func milliseconds(lifetime time.Duration) wit.Option[uint64] {
	if lifetime <= 0 {
		return wit.None[uint64]()
	}
	return wit.Some(uint64((lifetime + time.Millisecond - 1) / time.Millisecond))
}
