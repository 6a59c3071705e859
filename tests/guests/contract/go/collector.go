// What only Go has to show: that the collector runs, in the middle of calls and after them, and never where the host hands over
// memory; and what becomes of an accident that is not on the plugin's own stack.
package main

import (
	"encoding/binary"
	"runtime"
	"time"

	"nereid"
)

// kept is what many calls leave behind: a heap that grows and shrinks.
var kept [16][]byte

// garbage reads its input `rounds` times and keeps the last copies of it, makes rubbish of its own between, waits in a goroutine
// beside which the collector works, and says whether it ran.
func garbage(_ *contract, request *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rounds, _ := request.Parameters()["rounds"].(int64)
	done := make(chan int)
	go func() {
		time.Sleep(time.Millisecond)
		done <- 1
	}()
	sum := 0
	for round := range int(rounds) {
		data, err := x.Bytes()
		if err != nil {
			return nil, err
		}
		kept[(round*7)%len(kept)] = data
		rubbish := make([]*int, 1000)
		for index := range rubbish {
			rubbish[index] = new(int)
			*rubbish[index] = round
		}
		sum += *rubbish[999] - round
	}
	sum += <-done
	for index, data := range kept {
		if !areOnes(data) {
			return nil, nereid.Errorf(nereid.Internal, "copy %d changed", index)
		}
	}
	runtime.ReadMemStats(&after)
	return said(x, sum, after.NumGC > before.NumGC)
}

// areOnes says whether the bytes are of FP32 ones, one in sixteen looked at.
func areOnes(data []byte) bool {
	for ; len(data) >= 4; data = data[min(64, len(data)):] {
		if binary.LittleEndian.Uint32(data) != 0x3f800000 {
			return false
		}
	}
	return true
}

// twice gives one tensor away under two names.
func twice(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	return &nereid.Response{Outputs: nereid.Tensors{"X": x, "Z": x}}, nil
}

// outside fails in a goroutine of its own, where no request can be answered.
func outside() (*nereid.Response, error) {
	go func() { panic("out of luck elsewhere") }()
	time.Sleep(time.Second)
	return nil, nil
}
