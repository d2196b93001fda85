// An event as Go sees it, out of either format of a canonical topic.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	landfallv1 "landfall/v1"
)

// Event, whichever way it was written. A field is an int64, a float64, a Decimal, a bool, a string, []byte, a
// time.Time, []any, map[string]any, or nil, which is not absent.
type Event struct {
	EventID   string
	MessageID string
	DeviceID  string
	Verified  bool
	Time      time.Time
	Revision  uint32
	Index     uint64
	Fields    map[string]any
}

// Decimal has every digit that the device sent. Go has no decimals of its own: Rat calculates exactly, and
// packages such as shopspring/decimal read the same text.
type Decimal string

// Rat is the number, exactly.
func (decimal Decimal) Rat() (*big.Rat, bool) { return new(big.Rat).SetString(string(decimal)) }

// ReadEvent reads a record's value: JSON begins with a brace, and protobuf never does.
func ReadEvent(value []byte) (*Event, error) {
	if bytes.HasPrefix(value, []byte("{")) {
		return eventOfJSON(value)
	}
	var message landfallv1.Event
	if err := proto.Unmarshal(value, &message); err != nil {
		return nil, err
	}
	return eventOfMessage(&message), nil
}

func eventOfJSON(value []byte) (*Event, error) {
	var written struct {
		EventID   string            `json:"event_id"`
		MessageID string            `json:"message_id"`
		DeviceID  string            `json:"device_id"`
		Verified  bool              `json:"verified"`
		Time      time.Time         `json:"time"`
		Revision  uint32            `json:"revision"`
		Index     uint64            `json:"index"`
		Fields    map[string]any    `json:"fields"`
		Types     map[string]string `json:"types"`
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	// Without this every number would be a float64, and integers beyond 2^53 others.
	decoder.UseNumber()
	if err := decoder.Decode(&written); err != nil {
		return nil, err
	}
	fields, err := typed(written.Fields, "", written.Types)
	if err != nil {
		return nil, err
	}
	return &Event{
		EventID:   written.EventID,
		MessageID: written.MessageID,
		DeviceID:  written.DeviceID,
		Verified:  written.Verified,
		Time:      written.Time,
		Revision:  written.Revision,
		Index:     written.Index,
		Fields:    fields.(map[string]any),
	}, nil
}

var escaped = strings.NewReplacer("~", "~0", "/", "~1")

// A value of JSON as what it is: types names what JSON has no type for, by its pointer (RFC 6901).
func typed(value any, pointer string, types map[string]string) (any, error) {
	var err error
	switch value := value.(type) {
	case json.Number:
		if strings.ContainsAny(value.String(), ".eE") {
			return value.Float64()
		}
		return value.Int64()
	case string:
		switch types[pointer] {
		case "decimal":
			return Decimal(value), nil
		case "bytes":
			return base64.StdEncoding.DecodeString(value)
		case "time":
			return time.Parse(time.RFC3339Nano, value)
		case "float":
			return strconv.ParseFloat(value, 64)
		}
		return value, nil
	case []any:
		for at, item := range value {
			if value[at], err = typed(item, fmt.Sprintf("%s/%d", pointer, at), types); err != nil {
				return nil, err
			}
		}
		return value, nil
	case map[string]any:
		for name, item := range value {
			if value[name], err = typed(item, pointer+"/"+escaped.Replace(name), types); err != nil {
				return nil, err
			}
		}
		return value, nil
	}
	return value, nil
}

func eventOfMessage(message *landfallv1.Event) *Event {
	return &Event{
		EventID:   idText(message.GetEventId()),
		MessageID: idText(message.GetMessageId()),
		DeviceID:  message.GetDeviceId(),
		Verified:  message.GetDeviceIdTrust() == landfallv1.IdentityTrust_IDENTITY_TRUST_VERIFIED,
		Time:      message.GetTime().AsTime(),
		Revision:  message.GetRevision(),
		Index:     message.GetIndex(),
		Fields:    mapOf(message.GetFields()),
	}
}

func mapOf(values map[string]*landfallv1.Value) map[string]any {
	fields := make(map[string]any, len(values))
	for name, value := range values {
		fields[name] = valueOf(value)
	}
	return fields
}

func valueOf(value *landfallv1.Value) any {
	switch kind := value.GetKind().(type) {
	case *landfallv1.Value_BoolValue:
		return kind.BoolValue
	case *landfallv1.Value_IntValue:
		return kind.IntValue
	case *landfallv1.Value_FloatValue:
		return kind.FloatValue
	case *landfallv1.Value_DecimalValue:
		return Decimal(kind.DecimalValue)
	case *landfallv1.Value_TextValue:
		return kind.TextValue
	case *landfallv1.Value_BytesValue:
		return kind.BytesValue
	case *landfallv1.Value_TimeValue:
		return kind.TimeValue.AsTime()
	case *landfallv1.Value_ListValue:
		items := []any{}
		for _, item := range kind.ListValue.GetValues() {
			items = append(items, valueOf(item))
		}
		return items
	case *landfallv1.Value_MapValue:
		return mapOf(kind.MapValue.GetValues())
	}
	return nil
}

func idText(id []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
