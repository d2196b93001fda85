// Reads events and the metadata stream as a consumer does, and prints lines of JSON: see events.py.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"slices"
	"time"

	"landfall/options"
)

// Events of which doubles are known, and messages of which something is missing: more go into a database.
const rememberedMax = 100_000

func main() {
	if err := run(context.Background(), options.Parse()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, options *options.Options) error {
	client, err := options.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	latest, messages := newest[uint32]{}, newest[*known]{}
	for records := 0; records < options.Count; {
		fetches := client.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		for _, record := range fetches.Records() {
			records++
			if slices.Contains(options.Metadata, record.Topic) {
				if err := told(&messages, record.Value); err != nil {
					return err
				}
				continue
			}
			event, err := ReadEvent(record.Value)
			if err != nil {
				return fmt.Errorf("%s@%d: %w", record.Topic, record.Offset, err)
			}
			if isNew(&latest, event) {
				if err := work(event); err != nil {
					return err
				}
			}
			messageOf(&messages, event.MessageID).came[event.Index] = true
		}
		// After the work: a crash before it repeats events and loses none.
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			return err
		}
	}
	if len(options.Metadata) == 0 {
		return nil
	}
	for _, id := range messages.order {
		if err := show(id, messages.values[id]); err != nil {
			return err
		}
	}
	return nil
}

// The newest of what has an id.
type newest[T any] struct {
	values map[string]T
	order  []string
}

func (all *newest[T]) put(id string, value T) {
	if all.values == nil {
		all.values = make(map[string]T)
	}
	if _, is := all.values[id]; !is {
		all.order = append(all.order, id)
	}
	all.values[id] = value
	if len(all.order) > rememberedMax {
		delete(all.values, all.order[0])
		all.order = all.order[1:]
	}
}

// A double has the same id and revision, a corrected event a higher revision.
func isNew(latest *newest[uint32], event *Event) bool {
	revision := latest.values[event.EventID]
	latest.put(event.EventID, max(revision, event.Revision))
	return event.Revision > revision
}

// What is known of a message: what the metadata stream says, and which of its events came.
type known struct {
	landed bool
	parsed record
	came   map[uint64]bool
}

// A record of the metadata stream, as far as it is looked at here.
type record struct {
	Kind      string
	MessageID string `json:"message_id"`
	Source    struct {
		Topic     string
		Partition int32
		Offset    int64
	}
	Outcome *string
	Reason  *string
	Events  int64
}

func told(messages *newest[*known], value []byte) error {
	var record record
	if err := json.Unmarshal(value, &record); err != nil {
		return err
	}
	id := record.MessageID
	if id == "" {
		// What is no envelope has no id; its place is told.
		id = fmt.Sprintf("%s/%d/%d", record.Source.Topic, record.Source.Partition, record.Source.Offset)
	}
	message := messageOf(messages, id)
	if record.Kind == "landed" {
		message.landed = true
	} else {
		message.parsed = record
	}
	return nil
}

func messageOf(messages *newest[*known], id string) *known {
	message, is := messages.values[id]
	if !is {
		message = &known{came: make(map[uint64]bool)}
		messages.put(id, message)
	}
	return message
}

func show(id string, message *known) error {
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"message": id,
		"landed":  message.landed,
		"outcome": message.parsed.Outcome,
		"reason":  message.parsed.Reason,
		"events":  message.parsed.Events,
		"came":    len(message.came),
	})
}

// Yours. Here: one line for each event, each value under its type.
func work(event *Event) error {
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"event":    event.EventID,
		"message":  event.MessageID,
		"device":   event.DeviceID,
		"verified": event.Verified,
		"time":     event.Time.UnixNano(),
		"revision": event.Revision,
		"index":    event.Index,
		"fields":   shownMap(event.Fields),
	})
}

func shownMap(fields map[string]any) map[string]any {
	all := make(map[string]any, len(fields))
	for name, value := range fields {
		all[name] = shown(value)
	}
	return all
}

func shown(value any) map[string]any {
	switch value := value.(type) {
	case nil:
		return map[string]any{"null": nil}
	case bool:
		return map[string]any{"bool": value}
	case int64:
		return map[string]any{"int": value}
	case float64:
		if math.IsInf(value, 0) || math.IsNaN(value) {
			return map[string]any{"float": fmt.Sprint(value)}
		}
		return map[string]any{"float": value}
	case Decimal:
		return map[string]any{"decimal": value}
	case []byte:
		return map[string]any{"bytes": value}
	case time.Time:
		return map[string]any{"time": value.UnixNano()}
	case []any:
		items := make([]any, 0, len(value))
		for _, item := range value {
			items = append(items, shown(item))
		}
		return map[string]any{"list": items}
	case map[string]any:
		return map[string]any{"map": shownMap(value)}
	default:
		return map[string]any{"text": value}
	}
}
