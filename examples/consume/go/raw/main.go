// Reads lanes as a consumer does, and prints a line of JSON for each message that is not in the object store.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"google.golang.org/protobuf/proto"

	"landfall/options"
	landfallv1 "landfall/v1"
)

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
	for handled := 0; handled < options.Count; {
		fetches := client.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		for _, record := range fetches.Records() {
			var envelope landfallv1.Envelope
			if err := proto.Unmarshal(record.Value, &envelope); err != nil {
				log.Printf("%s@%d is no envelope: %v", record.Topic, record.Offset, err)
				continue
			}
			payload := envelope.GetInline()
			if reference := envelope.GetReference(); reference != nil {
				payload, err = fetch(ctx, reference) // yours: see References
				if err != nil {
					return err
				}
			}
			if err := work(ctx, &envelope, payload); err != nil {
				return err
			}
			handled++
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			return err
		}
	}
	return nil
}

func fetch(_ context.Context, reference *landfallv1.Reference) ([]byte, error) {
	return nil, fmt.Errorf("%s is in the object store", reference.GetUri())
}

func work(_ context.Context, envelope *landfallv1.Envelope, payload []byte) error {
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"device":      envelope.GetDeviceId(),
		"topic":       envelope.GetSourceTopic(),
		"received_ms": envelope.GetReceivedMs(),
		"payload":     payload,
	})
}
