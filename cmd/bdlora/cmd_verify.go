package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/model"
	"bdlora/model/verify"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "compare an adapter on the whole model with its shards on tensor-parallel parts of it",
		Description: "Sends random tokens through the model with the adapter, once as one process and once as --shards of\n" +
			"them, which hold their part of the model and their shard of the adapter: that of the folder shards/tp{N} if there\n" +
			"is one, each file read alone, otherwise cut from the adapter. Prints for each layer the largest difference\n" +
			"between the two, relative to the largest number of a token's output or of a factor's gradient, and what the\n" +
			"processes exchanged, none of which may be the adapter's. The processes are threads of this one, or those\n" +
			"that a launcher has started: mpirun -n 4 bdlora verify --adapter DIR.",
		Flags: []cli.Flag{
			modelFlag, adapterFlag,
			&cli.StringFlag{Name: "shape", Aliases: []string{"s"},
				Usage: "instead of --model and --adapter: random numbers in the shape of `NAME`: " + strings.Join(model.Shapes(), ", ")},
			layersFlag,
			&cli.IntFlag{Name: "nblocks", Aliases: []string{"tp_degree"}, Value: 2, Usage: "with --shape: blocks of the adapter"},
			&cli.IntFlag{Name: "lora_r", Aliases: []string{"r", "lora_rank"}, Value: 16, Usage: "with --shape: rank over all blocks"},
			&cli.IntFlag{Name: "shards", Usage: "processes to share the model; 0 is those of the launcher, or one a block"},
			&cli.IntFlag{Name: "tokens", Value: 32, Usage: "to send through the model"},
			&cli.BoolFlag{Name: "train", Usage: "go backward too, and compare gradients"},
			&cli.Float64Flag{Name: "tolerance", Value: 1e-3, Usage: "largest difference to accept; float32 itself makes some 1e-4 in gradients"},
			threadsFlag,
		},
		Action: verifyAdapter,
	}
}

// verification is a verify command under way.
type verification struct {
	model     *model.Model
	adapter   *bdlora.Adapter
	dir       string // of the shards' files; empty if there are none
	procs     int
	train     bool
	batch     *data.Batch
	tolerance float64
}

func verifyAdapter(c *cli.Context) error {
	place := here()
	if err := errors.Join(arguments(c, 0, 0), checkVerify(c)); err != nil {
		return place.Shared(err)
	}
	be, err := newBackend(c)
	if err != nil {
		return place.Shared(err)
	}
	v, closeModel, err := openVerification(c, place.Procs)
	if err != nil {
		return err
	}
	defer closeModel()
	v.train, v.tolerance = c.Bool("train"), c.Float64("tolerance")
	tokens, most := c.Int("tokens"), v.model.Config.MaxSeqLen
	if tokens > most {
		return place.Shared(usagef("--tokens: got %d, want at most the model's %d (max_position_embeddings)", tokens, most))
	}
	v.batch = verify.Batch(tokens, v.model.Config.Vocab)
	if place.Procs > 1 {
		return v.amongProcesses(c)
	}
	return v.inThisProcess(c.App.Writer, be)
}

func checkVerify(c *cli.Context) error {
	named := c.String("model") != "" || c.String("adapter") != ""
	switch {
	case named == (c.String("shape") != ""):
		return usagef("--adapter and --shape: got %q and %q, want one of them", c.String("adapter"), c.String("shape"))
	case named && c.String("adapter") == "":
		return usagef("--adapter: got nothing, want the folder of an adapter")
	case named && (c.IsSet("nblocks") || c.IsSet("lora_r") || c.IsSet(layersFlag.Name)):
		return usagef("--nblocks, --lora_r and --layers: want them with --shape only")
	case c.Int("tokens") < 2:
		return usagef("--tokens: got %d, want at least 2, to predict one from the other", c.Int("tokens"))
	case !(c.Float64("tolerance") > 0):
		return usagef("--tolerance: got %g, want a number above 0", c.Float64("tolerance"))
	}
	return atLeast(c, 0, layersFlag.Name, "shards")
}

// openVerification loads or draws the model and the adapter, to be shared among the
// processes that a launcher has started, if it has more than one.
func openVerification(c *cli.Context, started int) (v *verification, closeModel func() error, err error) {
	v, closeModel = &verification{}, func() error { return nil }
	if name := c.String("shape"); name != "" {
		err = v.draw(name, c.Int(layersFlag.Name), c.Int("nblocks"), c.Int("lora_r"))
	} else {
		var l *loaded
		if l, err = loadFolders(c); err != nil {
			return nil, nil, err
		}
		v.model, v.adapter, closeModel = l.model, l.adapter, l.Close
		v.dir, err = shardsOf(c.String("adapter"), l.adapter.Plan.Shards())
	}
	if err == nil {
		v.procs, err = sharedAmong(c.Int("shards"), started, v.adapter.Plan.Shards())
	}
	if err != nil {
		return nil, nil, errors.Join(err, closeModel())
	}
	return v, closeModel, nil
}

// draw makes a random model and adapter of a known shape.
func (v *verification) draw(name string, layers, blocks, rank int) error {
	config, err := shapeOf(name, layers)
	if err != nil {
		return err
	}
	cfg := bdlora.DefaultConfig()
	cfg.Blocks, cfg.Rank = blocks, rank
	plan, err := bdlora.NewPlan(config.Base(name), cfg)
	if err != nil {
		return err
	}
	v.model, v.adapter = model.NewRandomAs(config, 1, model.BaseAuto), verify.Random(plan)
	return nil
}

// shardsOf is the folder of the adapter's shards; empty if it has none.
func shardsOf(dir string, blocks int) (string, error) {
	folder, kind, err := bdlora.Find(dir)
	if err != nil || kind == bdlora.KindShards {
		return folder, err
	}
	folder = bdlora.ShardsPath(dir, blocks)
	if _, err := os.Stat(folder); err != nil {
		return "", nil
	}
	return folder, nil
}

// sharedAmong is the number of processes for --shards, where a launcher has started so
// many.
func sharedAmong(shards, started, blocks int) (int, error) {
	if shards == 0 && started > 1 {
		shards = started
	}
	switch {
	case shards == 0 && blocks == 1:
		return 0, errors.New("the adapter has 1 block, for one process: bdlora convert --nblocks cuts it into more")
	case shards == 0:
		return blocks, nil
	case blocks%shards != 0:
		return 0, fmt.Errorf("--shards: %d does not divide the adapter's %d blocks: bdlora convert --nblocks %d cuts it into %d",
			shards, blocks, shards, shards)
	}
	return shards, nil
}
