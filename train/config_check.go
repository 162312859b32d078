package train

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels"
	"bdlora/model"
)

// Validate reports every setting that is out of its limits or contradicts another,
// by key. What depends on the model, such as which Blocks would do, is checked by
// [bdlora.NewPlan].
func (c Config) Validate() error {
	var errs []error
	for _, p := range c.problems() {
		errs = append(errs, fmt.Errorf("config: %s", p))
	}
	return errors.Join(errs...)
}

// problem is what is wrong with one setting.
type problem struct{ key, text string }

func (p problem) String() string { return p.key + ": " + p.text }

// problems collects what is wrong with settings.
type problems []problem

func (c Config) problems() problems {
	var p problems
	p.checkData(c)
	p.checkAdapter(c)
	p.checkOptimizer(c)
	p.checkSchedule(c)
	p.checkEvaluation(c)
	p.checkRest(c)
	p.checkGrid(c)
	return p
}

func (p *problems) checkData(c Config) {
	p.required("model_name_or_path", c.ModelNameOrPath)
	p.required("dataset", c.Dataset)
	p.required("output_dir", c.OutputDir)
	p.oneOf("dataset_format", c.DatasetFormat, string(data.FormatAuto), string(data.FormatMessages),
		string(data.FormatAlpaca), string(data.FormatPromptCompletion), string(data.FormatQuestionAnswer))
	p.atLeast("max_length", c.MaxLength, 2)
	p.oneOf("excess_length_strategy", c.ExcessLengthStrategy, ExcessRaise, ExcessDrop, ExcessTruncate)
	if !(c.ValSize >= 0) || math.IsInf(c.ValSize, 0) || c.ValSize > 1 && c.ValSize != math.Trunc(c.ValSize) {
		p.add("val_size", c.ValSize, "a share of the rows below 1 or a whole number of rows")
	}
	if c.ValSize > 0 && c.EvalDataset != "" {
		p.add("val_size", c.ValSize, "0 where eval_dataset is set")
	}
	if c.TrainOnPrompt && c.MaskHistory {
		p.add("mask_history", c.MaskHistory, "false where train_on_prompt is true")
	}
}

func (p *problems) checkAdapter(c Config) {
	p.atLeast("lora_r", c.LoraR, 0)
	p.atLeast("match_lora_rank", c.MatchLoraRank, 0)
	p.atLeast("nblocks", c.Blocks, 1)
	if c.LoraR > 0 && c.MatchLoraRank > 0 {
		p.add("match_lora_rank", c.MatchLoraRank, fmt.Sprintf("0 where lora_r is set (to %d)", c.LoraR))
	}
	if c.LoraR > 0 && c.Blocks > 0 && c.LoraR%c.Blocks != 0 {
		p.add("lora_r", c.LoraR, fmt.Sprintf("a multiple of nblocks %d", c.Blocks))
	}
	p.between("lora_alpha", c.LoraAlpha, 0, math.Inf(1))
	p.between("lora_dropout", c.LoraDropout, 0, 1)
	if len(c.TargetModules) == 0 || slices.Contains(c.TargetModules, "") {
		p.add("target_modules", fmt.Sprintf("%q", c.TargetModules), `names of linears or "`+bdlora.AllLinear+`"`)
	}
	p.oneOf("bd_init", c.BDInit, bdlora.InitLoRA, bdlora.InitPEFT)
	p.oneOf("base_dtype", c.BaseDtype, string(model.BaseAuto), string(model.BaseInt8), string(model.BaseNF4))
}

func (p *problems) checkOptimizer(c Config) {
	p.atLeast("per_device_train_batch_size", c.PerDeviceTrainBatchSize, 1)
	p.atLeast("per_device_eval_batch_size", c.PerDeviceEvalBatchSize, 1)
	p.atLeast("gradient_accumulation_steps", c.GradientAccumulationSteps, 1)
	p.above("learning_rate", c.LearningRate, 0)
	p.between("weight_decay", c.WeightDecay, 0, math.Inf(1))
	p.between("adam_beta1", c.AdamBeta1, 0, 1)
	p.between("adam_beta2", c.AdamBeta2, 0, 1)
	p.above("adam_epsilon", c.AdamEpsilon, 0)
	p.between("max_grad_norm", c.MaxGradNorm, 0, math.Inf(1))
}

func (p *problems) checkSchedule(c Config) {
	p.oneOf("lr_scheduler_type", c.LRSchedulerType,
		ScheduleCosine, ScheduleLinear, ScheduleConstant, ScheduleConstantWithWarmup)
	p.between("warmup_ratio", c.WarmupRatio, 0, 1)
	p.atLeast("warmup_steps", c.WarmupSteps, 0)
	if c.WarmupRatio > 0 && c.WarmupSteps > 0 {
		p.add("warmup_ratio", c.WarmupRatio, "0 where warmup_steps is set")
	}
	if c.LRSchedulerType == ScheduleConstant && (c.WarmupRatio > 0 || c.WarmupSteps > 0) {
		p.add("lr_scheduler_type", fmt.Sprintf("%q", c.LRSchedulerType),
			fmt.Sprintf("%q where there is a warm-up", ScheduleConstantWithWarmup))
	}
	p.atLeast("max_steps", c.MaxSteps, -1)
	if c.MaxSteps <= 0 {
		p.above("num_train_epochs", c.NumTrainEpochs, 0)
		p.between("num_train_epochs", c.NumTrainEpochs, math.Inf(-1), 1e6)
	}
}

func (p *problems) checkEvaluation(c Config) {
	p.oneOf("eval_strategy", c.EvalStrategy, StrategyEpoch, StrategySteps, StrategyNo)
	p.atLeast("eval_steps", c.EvalSteps, 1)
	p.atLeast("early_stopping_patience", c.EarlyStoppingPatience, 0)
	if c.EvalStrategy == StrategyNo && (c.ValSize > 0 || c.EvalDataset != "") {
		p.add("eval_strategy", `"no"`, "another one where there are rows to evaluate on")
	}
	if c.EarlyStoppingPatience > 0 && !c.Evaluates() {
		p.add("early_stopping_patience", c.EarlyStoppingPatience, "0 without eval_dataset or val_size")
	}
	if c.LoadBestModelAtEnd && !c.Evaluates() {
		p.add("load_best_model_at_end", true, "false without eval_dataset or val_size")
	}
}

func (p *problems) checkRest(c Config) {
	p.atLeast("logging_steps", c.LoggingSteps, 1)
	p.oneOf("save_strategy", c.SaveStrategy, StrategySteps, StrategyEpoch, StrategyNo)
	p.atLeast("save_steps", c.SaveSteps, 1)
	p.atLeast("save_total_limit", c.SaveTotalLimit, 0)
	if c.ResumeFromCheckpoint == "true" || c.ResumeFromCheckpoint == "false" {
		p.add("resume_from_checkpoint", c.ResumeFromCheckpoint, `"auto", a checkpoint folder or nothing`)
	}
	p.oneOf("device", c.Device, DeviceCPU)
	p.oneOf("float32_matmul_precision", c.Float32MatmulPrecision, precisions()...)
	p.atLeast("threads", c.Threads, 0)
}

func (p *problems) checkGrid(c Config) {
	p.atLeast("tensor_parallel_size", c.TensorParallelSize, 1)
	p.atLeast("data_parallel_size", c.DataParallelSize, 1)
	p.atLeast("collective_timeout", c.CollectiveTimeout, 1)
	cuts := c.ResumeFromCheckpoint != "" && c.Blocks > 0 && c.TensorParallelSize%c.Blocks == 0
	if c.TensorParallelSize > 0 && c.Blocks > 0 && c.Blocks%c.TensorParallelSize != 0 && !cuts {
		p.add("tensor_parallel_size", c.TensorParallelSize, fmt.Sprintf("a divisor of nblocks %d", c.Blocks))
	}
	if c.DataParallelSize > 1 && c.DataParallelSize > c.GradientAccumulationSteps {
		p.add("data_parallel_size", c.DataParallelSize,
			fmt.Sprintf("at most gradient_accumulation_steps %d, whose micro-batches are dealt to the replicas",
				c.GradientAccumulationSteps))
	}
}

func precisions() []string {
	var names []string
	for _, p := range kernels.Precisions() {
		names = append(names, string(p))
	}
	return names
}

func (p *problems) add(key string, got any, want string) {
	*p = append(*p, problem{key, fmt.Sprintf("got %v, want %s", got, want)})
}

func (p *problems) required(key, value string) {
	if value == "" {
		p.add(key, "nothing", "a path")
	}
}

func (p *problems) atLeast(key string, value, least int) {
	if value < least {
		p.add(key, value, fmt.Sprintf("at least %d", least))
	}
}

func (p *problems) above(key string, value, limit float64) {
	if !(value > limit) || math.IsInf(value, 0) {
		p.add(key, value, fmt.Sprintf("a number above %g", limit))
	}
}

// between asks for a finite number from least up to, but not including, limit.
func (p *problems) between(key string, value, least, limit float64) {
	switch {
	case value >= least && value < limit:
	case math.IsInf(limit, 1):
		p.add(key, value, fmt.Sprintf("at least %g", least))
	default:
		p.add(key, value, fmt.Sprintf("at least %g and below %g", least, limit))
	}
}

func (p *problems) oneOf(key, value string, words ...string) {
	if !slices.Contains(words, value) {
		p.add(key, fmt.Sprintf("%q", value), `"`+strings.Join(words, `" or "`)+`"`)
	}
}
