// Judges a chaos history of registers (JSON lines) by Porcupine, to compare times on one file.
//
//	main FILE TIMEOUT
//
// Prints one line: the verdict, the time of the check alone, and that of reading the file.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

type line struct {
	Process int             `json:"process"`
	Type    string          `json:"type"`
	F       string          `json:"f"`
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"`
	Seen    *int64          `json:"seen"`
	Schema  string          `json:"schema"`
}

// An absent value is nobody's number.
const absent = int64(-1 << 62)

type input struct {
	f        string
	key      string
	from, to int64
}

type output struct {
	ok      bool
	unknown bool
	// A failed CAS that does not tell what it saw.
	hidden bool
	seen   int64
}

var register = porcupine.Model{
	PartitionEvent: func(history []porcupine.Event) [][]porcupine.Event {
		keys := map[string]int{}
		owner := map[int]int{}
		var parts [][]porcupine.Event
		for _, event := range history {
			if event.Kind == porcupine.CallEvent {
				key := event.Value.(input).key
				part, known := keys[key]
				if !known {
					part = len(parts)
					keys[key] = part
					parts = append(parts, nil)
				}
				owner[event.Id] = part
			}
			part := owner[event.Id]
			parts[part] = append(parts[part], event)
		}
		return parts
	},
	Init: func() interface{} { return absent },
	Step: func(state, in, out interface{}) (bool, interface{}) {
		now, ask, got := state.(int64), in.(input), out.(output)
		switch ask.f {
		case "read":
			return got.unknown || got.seen == now, state
		case "write":
			return true, ask.to
		}
		switch {
		case got.unknown:
			if now == ask.from {
				return true, ask.to
			}
			return true, state
		case got.ok:
			return now == ask.from, ask.to
		case got.hidden:
			return now != ask.from, state
		}
		return now == got.seen, state
	},
	Equal: func(a, b interface{}) bool { return a.(int64) == b.(int64) },
	Hash:  func(state interface{}) uint64 { return uint64(state.(int64)) * 0x9e3779b97f4a7c15 },
}

func number(raw json.RawMessage) int64 {
	var value *int64
	if len(raw) == 0 || json.Unmarshal(raw, &value) != nil || value == nil {
		return absent
	}
	return *value
}

func read(path string) []porcupine.Event {
	file, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	var events []porcupine.Event
	type call struct {
		id int
		in input
	}
	open := map[int]call{}
	var unknown []int
	lines := bufio.NewScanner(bufio.NewReaderSize(file, 1<<20))
	next := 0
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			panic(err)
		}
		if l.Schema != "" {
			continue
		}
		if l.Type == "invoke" {
			in := input{f: l.F, key: l.Key}
			switch l.F {
			case "write":
				in.to = number(l.Value)
			case "cas":
				var pair [2]*int64
				if err := json.Unmarshal(l.Value, &pair); err != nil {
					panic(err)
				}
				in.from, in.to = absent, absent
				if pair[0] != nil {
					in.from = *pair[0]
				}
				if pair[1] != nil {
					in.to = *pair[1]
				}
			}
			open[l.Process] = call{next, in}
			events = append(events, porcupine.Event{ClientId: l.Process, Kind: porcupine.CallEvent, Value: in, Id: next})
			next++
			continue
		}
		begun := open[l.Process]
		delete(open, l.Process)
		out := output{ok: l.Type == "ok"}
		switch {
		case l.Type == "info":
			unknown = append(unknown, begun.id)
			continue
		case l.F == "read" && l.Type == "ok":
			out.seen = number(l.Value)
		case l.F == "cas" && l.Type == "fail":
			out.hidden = l.Seen == nil
			if l.Seen != nil {
				out.seen = *l.Seen
			}
		}
		events = append(events, porcupine.Event{ClientId: l.Process, Kind: porcupine.ReturnEvent, Value: out, Id: begun.id})
	}
	for _, begun := range open {
		unknown = append(unknown, begun.id)
	}
	for _, id := range unknown {
		events = append(events, porcupine.Event{Kind: porcupine.ReturnEvent, Value: output{unknown: true}, Id: id})
	}
	return events
}

func main() {
	timeout, err := time.ParseDuration(os.Args[2])
	if err != nil {
		panic(err)
	}
	start := time.Now()
	events := read(os.Args[1])
	loaded := time.Now()
	verdict := porcupine.CheckEventsTimeout(register, events, timeout)
	fmt.Printf("%s in %.4f s, read in %.2f s\n", verdict, time.Since(loaded).Seconds(), loaded.Sub(start).Seconds())
}
