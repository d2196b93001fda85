// Package options has the arguments of a consumer, and Kafka's client as they ask for it.
package options

import (
	"flag"
	"math"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Options of a consumer.
type Options struct {
	Servers  string
	Topics   Topics
	Metadata Topics
	Group    string
	// How many records to read before it ends.
	Count int
}

// Topics are given one by one.
type Topics []string

func (topics *Topics) String() string { return strings.Join(*topics, ",") }

// Set takes one more.
func (topics *Topics) Set(topic string) error {
	*topics = append(*topics, topic)
	return nil
}

// Parse reads the arguments.
func Parse() *Options {
	options := &Options{}
	flag.StringVar(&options.Servers, "bootstrap-servers", "localhost:9092", "HOST:PORT,…")
	flag.Var(&options.Topics, "topic", "a topic; may be given again")
	flag.Var(&options.Metadata, "metadata", "the topic of the metadata stream")
	flag.StringVar(&options.Group, "group", "landfall-example", "the consumer group")
	flag.IntVar(&options.Count, "count", math.MaxInt, "end after so many records")
	flag.Parse()
	return options
}

// Client reads all topics from their beginning, and commits only what it is told.
func (options *Options) Client() (*kgo.Client, error) {
	return kgo.NewClient(
		kgo.SeedBrokers(strings.Split(options.Servers, ",")...),
		kgo.ConsumerGroup(options.Group),
		kgo.ConsumeTopics(append(options.Topics, options.Metadata...)...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
	)
}
