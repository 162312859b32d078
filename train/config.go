package train

import (
	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels"
	"bdlora/model"
)

// Config is the settings of a run, under the keys that Hugging Face's trainers,
// LLaMA-Factory and PEFT use. Paths are relative to the working directory. A
// setting that a resumed run may change without changing what is trained has
// resume:"free"; see [Diff].
type Config struct {
	// ModelNameOrPath is the folder of the base model. Required.
	ModelNameOrPath string `yaml:"model_name_or_path" resume:"free"` // its content is fingerprinted
	// Dataset is the JSON Lines file to train on. Required.
	Dataset string `yaml:"dataset" resume:"free"` // its content is fingerprinted
	// EvalDataset is the JSON Lines file to evaluate on; empty, the default, is none.
	EvalDataset string `yaml:"eval_dataset" resume:"free"` // its content is fingerprinted
	// DatasetFormat is the layout of the rows: "messages", "alpaca",
	// "prompt_completion", "question_answer", or "auto", the default, which detects it.
	DatasetFormat string `yaml:"dataset_format"`
	// OutputDir is the folder for all that the run writes, on a disk that all of its
	// processes share. Required.
	OutputDir string `yaml:"output_dir" resume:"free"`

	// MaxLength is the longest row in tokens; default 1024.
	MaxLength int `yaml:"max_length" alias:"cutoff_len,sequence_len,max_seq_length"`
	// Packing puts several examples into a row of up to MaxLength tokens, without one
	// seeing another; default false, an example a row.
	Packing bool `yaml:"packing"`
	// TrainOnPrompt trains every token, not the assistant's only; default false.
	TrainOnPrompt bool `yaml:"train_on_prompt" alias:"train_on_inputs"`
	// MaskHistory trains the last turn of a conversation only; default false.
	MaskHistory bool `yaml:"mask_history"`
	// ExcessLengthStrategy is what happens to rows longer than MaxLength: "raise", the
	// default, refuses the dataset, "drop" leaves them out, "truncate" cuts them.
	ExcessLengthStrategy string `yaml:"excess_length_strategy"`
	// ValSize is what to hold out of Dataset for evaluation: below 1 the share of the
	// rows, from 1 on their number; 0, the default, is nothing.
	ValSize float64 `yaml:"val_size"`

	// LoraR is the adapter's rank over all blocks; 0, the default, takes the rank of
	// MatchLoraRank.
	LoraR int `yaml:"lora_r" alias:"lora_rank,r"`
	// MatchLoraRank asks for the largest rank whose adapter has no more parameters than
	// plain LoRA of this rank; default 16 unless LoraR is set, when 0 means unused.
	MatchLoraRank int `yaml:"match_lora_rank"`
	// LoraAlpha over the rank is the adapter's scaling; 0, the default, takes 16 times
	// Blocks.
	LoraAlpha float64 `yaml:"lora_alpha"`
	// LoraDropout is the probability of dropping an input of the adapter; default 0.
	LoraDropout float64 `yaml:"lora_dropout"`
	// UseRSLora divides alpha by the root of the rank instead; default false.
	UseRSLora bool `yaml:"use_rslora"`
	// TargetModules are the linears to adapt; default "all-linear".
	TargetModules []string `yaml:"target_modules" alias:"lora_target"`
	// Blocks is the number of diagonal blocks, which is that of the shards that will
	// serve the adapter; default 1, plain LoRA.
	Blocks int `yaml:"nblocks" alias:"tp_degree"`
	// BDInit is how A is drawn: "lora", the default, or "peft".
	BDInit string `yaml:"bd_init"`
	// InitAdapter is the folder of an adapter to start from; empty, the default, starts
	// from BDInit. Optimizer and schedule begin anew, unlike with ResumeFromCheckpoint.
	InitAdapter string `yaml:"init_adapter" resume:"free"` // a checkpoint has what became of it

	// PerDeviceTrainBatchSize is the rows of a micro-batch; default 1.
	PerDeviceTrainBatchSize int `yaml:"per_device_train_batch_size" alias:"micro_batch_size"`
	// PerDeviceEvalBatchSize is the rows of a micro-batch of evaluation; default 1.
	PerDeviceEvalBatchSize int `yaml:"per_device_eval_batch_size"`
	// GradientAccumulationSteps is the micro-batches of a step; default 8.
	GradientAccumulationSteps int `yaml:"gradient_accumulation_steps"`
	// BaseDtype is how the frozen weights of the layers' linears are held: "auto", the
	// default, as in the model's files, "int8" in 8 bits or "nf4" in 4 bits as in QLoRA.
	BaseDtype string `yaml:"base_dtype"`
	// CacheDir is the folder that keeps a base in 8 or 4 bits for the next start; empty,
	// the default, is bdlora in the user's cache folder.
	CacheDir string `yaml:"cache_dir" resume:"free"`
	// GradientCheckpointing computes activations again in the backward pass instead of
	// keeping them: less memory, more time, the same numbers; default false.
	GradientCheckpointing bool `yaml:"gradient_checkpointing" resume:"free"`

	// LearningRate is the peak of the schedule; default 2e-4.
	LearningRate float64 `yaml:"learning_rate"`
	// LRSchedulerType is "cosine", the default, "linear", "constant" or
	// "constant_with_warmup".
	LRSchedulerType string `yaml:"lr_scheduler_type"`
	// WarmupRatio is the share of all steps that warm up; default 0.
	WarmupRatio float64 `yaml:"warmup_ratio"`
	// WarmupSteps is the number of steps that warm up; 0, the default, leaves it to
	// WarmupRatio.
	WarmupSteps int `yaml:"warmup_steps"`
	// NumTrainEpochs is how often to go through the dataset, fractions allowed;
	// default 3.
	NumTrainEpochs float64 `yaml:"num_train_epochs"`
	// MaxSteps is the number of optimizer steps; 0, the default, or -1 leaves it to
	// NumTrainEpochs.
	MaxSteps int `yaml:"max_steps"`
	// WeightDecay is AdamW's decoupled decay; default 0.
	WeightDecay float64 `yaml:"weight_decay"`
	// AdamBeta1 is the decay of the first moment; default 0.9.
	AdamBeta1 float64 `yaml:"adam_beta1"`
	// AdamBeta2 is the decay of the second moment; default 0.999.
	AdamBeta2 float64 `yaml:"adam_beta2"`
	// AdamEpsilon is added to the root of the second moment; default 1e-8.
	AdamEpsilon float64 `yaml:"adam_epsilon"`
	// MaxGradNorm is the global norm that gradients are clipped to; default 1, 0 clips
	// nothing.
	MaxGradNorm float64 `yaml:"max_grad_norm"`
	// Seed draws the adapter and its dropout; default 42.
	Seed uint64 `yaml:"seed"`
	// DataSeed shuffles and splits the dataset; 0, the default, takes Seed.
	DataSeed uint64 `yaml:"data_seed"`

	// LoggingSteps is the number of steps that a line of the log covers; default 10.
	LoggingSteps int `yaml:"logging_steps" resume:"free"`
	// EvalStrategy is when to evaluate: "epoch", the default, "steps" or "no". Without
	// EvalDataset and ValSize there is nothing to evaluate.
	EvalStrategy string `yaml:"eval_strategy" alias:"evaluation_strategy"`
	// EvalSteps is the number of steps between evaluations with "steps"; default 100.
	EvalSteps int `yaml:"eval_steps"`
	// SaveStrategy is when to write a checkpoint: "steps", the default, "epoch" or
	// "no". An interrupted run always writes one.
	SaveStrategy string `yaml:"save_strategy" resume:"free"`
	// SaveSteps is the number of steps between checkpoints with "steps"; default 100.
	SaveSteps int `yaml:"save_steps" resume:"free"`
	// SaveTotalLimit is how many checkpoints to keep; default 3, 0 keeps all.
	SaveTotalLimit int `yaml:"save_total_limit" resume:"free"`
	// LoadBestModelAtEnd saves at each new lowest evaluation loss, and ends with the
	// adapter of the lowest instead of the last one; default false.
	LoadBestModelAtEnd bool `yaml:"load_best_model_at_end"`
	// EarlyStoppingPatience is the number of evaluations in a row without a new lowest
	// loss that ends the run; 0, the default, never does.
	EarlyStoppingPatience int `yaml:"early_stopping_patience" alias:"early_stopping_steps"`
	// ResumeFromCheckpoint is the checkpoint to go on from: a folder, or "auto" for
	// the newest whole one in OutputDir, if there is one; empty, the default, starts
	// anew.
	ResumeFromCheckpoint string `yaml:"resume_from_checkpoint" resume:"free"`

	// Device is what computes; "cpu", the default, is the only one.
	Device string `yaml:"device" resume:"free"`
	// Float32MatmulPrecision is what matrix products may make of float32 numbers on a
	// processor with matrix units (Intel AMX): "highest", the default, keeps float32,
	// "high" 16 bits, "medium" rounds to bfloat16 and is the fastest. Others ignore it.
	Float32MatmulPrecision string `yaml:"float32_matmul_precision"`
	// Threads is the number of processor cores to use; 0, the default, is all.
	Threads int `yaml:"threads" resume:"free"`

	// TensorParallelSize is the number of processes that hold the model and the adapter
	// together, each an equal share of the blocks; default 1. It must divide Blocks; where
	// a run is resumed it may be a multiple: the adapter is cut into as many blocks then.
	TensorParallelSize int `yaml:"tensor_parallel_size" resume:"free"`
	// DataParallelSize is the number of replicas of these processes; default 1. The
	// GradientAccumulationSteps micro-batches of a step are dealt to them, so that,
	// unlike in transformers, any number of replicas trains the same steps.
	DataParallelSize int `yaml:"data_parallel_size" resume:"free"`
	// CollectiveTimeout is the seconds that processes wait for one of them before the
	// run ends; default 300.
	CollectiveTimeout int `yaml:"collective_timeout" resume:"free"`
}

// What settings of a few words may say.
const (
	ExcessRaise    = string(data.ExcessRaise)    // excess_length_strategy: refuse the dataset
	ExcessDrop     = string(data.ExcessDrop)     // excess_length_strategy: leave the row out
	ExcessTruncate = string(data.ExcessTruncate) // excess_length_strategy: cut the row

	StrategyNo    = "no"    // eval_strategy, save_strategy: never
	StrategySteps = "steps" // eval_strategy, save_strategy: every so many steps
	StrategyEpoch = "epoch" // eval_strategy, save_strategy: at the end of each epoch

	ResumeAuto = "auto" // resume_from_checkpoint: the newest whole one, if any
	DeviceCPU  = "cpu"  // device
)

// defaultMatchLoraRank is MatchLoraRank where no rank is set.
const defaultMatchLoraRank = 16

// DefaultConfig is a run with every default, which lacks a model, a dataset and an
// output folder. MatchLoraRank is 0 in it, so that setting LoraR alone is enough;
// [ReadConfig] fills it in where neither is set.
func DefaultConfig() Config {
	return Config{
		DatasetFormat:             string(data.FormatAuto),
		MaxLength:                 1024,
		ExcessLengthStrategy:      ExcessRaise,
		TargetModules:             []string{bdlora.AllLinear},
		Blocks:                    1,
		BDInit:                    bdlora.InitLoRA,
		PerDeviceTrainBatchSize:   1,
		PerDeviceEvalBatchSize:    1,
		GradientAccumulationSteps: 8,
		BaseDtype:                 string(model.BaseAuto),
		LearningRate:              2e-4,
		LRSchedulerType:           ScheduleCosine,
		NumTrainEpochs:            3,
		AdamBeta1:                 0.9,
		AdamBeta2:                 0.999,
		AdamEpsilon:               1e-8,
		MaxGradNorm:               1,
		Seed:                      42,
		LoggingSteps:              10,
		EvalStrategy:              StrategyEpoch,
		EvalSteps:                 100,
		SaveStrategy:              StrategySteps,
		SaveSteps:                 100,
		SaveTotalLimit:            3,
		Device:                    DeviceCPU,
		Float32MatmulPrecision:    string(kernels.PrecisionHighest),
		TensorParallelSize:        1,
		DataParallelSize:          1,
		CollectiveTimeout:         300,
	}
}

// Evaluates reports whether the run has rows to evaluate on and a time to do so.
func (c Config) Evaluates() bool {
	return c.EvalStrategy != StrategyNo && (c.EvalDataset != "" || c.ValSize > 0)
}

// EffectiveDataSeed is the seed that shuffles and splits the dataset.
func (c Config) EffectiveDataSeed() uint64 {
	if c.DataSeed == 0 {
		return c.Seed
	}
	return c.DataSeed
}

// Adapter is the part of the settings that describes the adapter. Its Rank is 0
// where MatchLoraRank is to choose it.
func (c Config) Adapter() bdlora.Config {
	return bdlora.Config{
		Rank:    c.LoraR,
		Alpha:   c.LoraAlpha,
		Dropout: c.LoraDropout,
		RSLoRA:  c.UseRSLora,
		Blocks:  c.Blocks,
		Targets: c.TargetModules,
		Init:    c.BDInit,
	}
}
