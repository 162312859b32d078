package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"text/tabwriter"

	"bdlora/cmd/bdlora/numbers"
	"bdlora/kernels/comm"
	"bdlora/model/serving"
)

// serveReport is what serve-bench prints.
type serveReport struct {
	Command   string          `json:"command"`
	Version   string          `json:"version"`
	Shape     string          `json:"shape"`
	Layers    int             `json:"layers"`
	AllLayers int             `json:"all_layers"` // of the shape
	Vocab     int             `json:"vocab"`
	Processes int             `json:"processes"`
	Transport string          `json:"transport"`
	Threads   int             `json:"threads"` // of each process
	Cores     int             `json:"cores"`
	Path      string          `json:"path"`
	Link      serving.Link    `json:"link"`    // fitted
	Machine   serving.Machine `json:"machine"` // a process, fitted
	NewTokens int             `json:"new_tokens"`
	Runs      int             `json:"runs"`
	Adapters  []serveAdapter  `json:"adapters"`
	Steps     []serveStep     `json:"steps"`
	Off       serveErrors     `json:"prediction_errors"`
	Claims    []serveClaim    `json:"paper"`
	Energy    bool            `json:"energy_measured"`
	Note      []string        `json:"notes"`
}

// serveAdapter is one of the setups.
type serveAdapter struct {
	Way         serving.Way `json:"way"`
	Rank        int         `json:"rank"`
	Params      int64       `json:"params"`
	ParamsRatio float64     `json:"params_of_s_lora"`
	ShardParams int64       `json:"shard_params"`
}

// serveStep is a measured step of a setup, all times in seconds. Ratios are to BD-LoRA
// of the lower rank; that of whole steps is the median over turns, in which both meet
// what else the machine does.
type serveStep struct {
	Way          serving.Way   `json:"way"`
	Rank         int           `json:"rank"`
	Sequences    int           `json:"sequences"`
	Tokens       int           `json:"tokens"`
	Past         int           `json:"past"`
	Seconds      float64       `json:"seconds"`
	Parts        serving.Times `json:"parts"`
	Alone        serving.Times `json:"calls_alone"`
	Ratio        float64       `json:"of_bd_lora"`
	AloneRatio   float64       `json:"calls_alone_of_bd_lora"`
	Predicted    float64       `json:"predicted_seconds"`
	BaseCalls    int           `json:"base_calls_a_layer"`
	BaseBytes    int64         `json:"base_payload_bytes_a_layer"`
	AdapterCalls int           `json:"adapter_calls_a_layer"`
	AdapterBytes int64         `json:"adapter_payload_bytes_a_layer"`
	Joules       float64       `json:"joules,omitzero"`
}

// serveErrors are how far predictions are off, relative to what was measured: those of
// the steps that the machine was fitted to, and those of the others.
type serveErrors struct {
	FittedMedian float64 `json:"fitted_median"`
	OtherMedian  float64 `json:"other_median"`
	OtherMost    float64 `json:"other_most"`
}

// serveClaim is a speed-up that the paper of BD-LoRA reports, and what is predicted.
type serveClaim struct {
	Shape     string                `json:"shape"`
	Params    float64               `json:"params_of_s_lora"`
	SpeedUp   float64               `json:"speed_up"`
	Predicted map[string][2]float64 `json:"predicted_least_and_most"` // by link
}

// newServeReport fits the machine and the link to the results.
func newServeReport(j *serveJob, procs int, transport, path string, results []serving.Result,
	calls []serving.Timed[serving.Call]) (*serveReport, error) {
	r := &serveReport{
		Command: "serve-bench", Version: version(), Shape: j.c.String("shape"), Layers: j.config.Layers, AllLayers: j.all,
		Vocab: j.config.Vocab, Processes: procs, Transport: transport, Threads: j.threads, Cores: runtime.NumCPU(),
		Path: path, NewTokens: j.c.Int("new_tokens"), Runs: j.c.Int("runs"),
	}
	for _, s := range j.setups {
		ratio := float64(s.Params()) / float64(j.setups[1].Params()) // which is S-LoRA
		r.Adapters = append(r.Adapters, serveAdapter{s.Way, s.Rank, s.Params(), ratio, s.ShardParams()})
	}
	if err := r.fit(j, results, calls); err != nil {
		return nil, err
	}
	for _, result := range results {
		r.add(result, results)
	}
	r.judge()
	return r, r.compare()
}

// fit takes computing from the steps of none and BD-LoRA, which exchange nothing of
// their own, and the link from the collectives alone.
func (r *serveReport) fit(j *serveJob, results []serving.Result, calls []serving.Timed[serving.Call]) (err error) {
	var work []serving.Timed[serving.Work]
	for _, result := range results {
		if fitted(result.Setup.Way) {
			work = append(work, serving.Timed[serving.Work]{Of: result.Setup.Work(result.Step), Seconds: result.Times.Compute})
		}
	}
	if r.Machine, err = serving.FitMachine(work); err != nil {
		return err
	}
	r.Machine.Name, r.Link.Name = "a process here", j.c.String("link")
	if r.Processes > 1 {
		r.Link, err = serving.FitLink(r.Link.Name, r.Processes, calls)
	}
	return err
}

func fitted(way serving.Way) bool { return way == serving.None || way == serving.BDLoRA }

// add appends a line.
func (r *serveReport) add(result serving.Result, all []serving.Result) {
	s := result.Setup
	line := serveStep{
		Way: s.Way, Rank: s.Rank, Sequences: result.Step.Sequences, Tokens: result.Step.Tokens, Past: result.Step.Past,
		Seconds: result.Seconds, Parts: result.Times, Alone: result.Alone, Joules: result.Joules,
		Predicted: serving.Predict(s, result.Step, r.Machine, r.Link).Total(),
	}
	for _, call := range s.LayerCalls(result.Step) {
		if call.Why == comm.Adapter {
			line.AdapterCalls, line.AdapterBytes = line.AdapterCalls+call.Count, line.AdapterBytes+int64(call.Count)*call.Payload
		} else {
			line.BaseCalls, line.BaseBytes = line.BaseCalls+call.Count, line.BaseBytes+int64(call.Count)*call.Payload
		}
	}
	blocks := all[slices.IndexFunc(all, func(other serving.Result) bool {
		return other.Setup.Way == serving.BDLoRA && other.Step == result.Step
	})]
	var ratios []float64
	for turn, seconds := range result.Turns {
		ratios = append(ratios, seconds/blocks.Turns[turn])
	}
	line.Ratio, line.AloneRatio = numbers.Median(ratios), result.Alone.Total()/math.Max(1e-9, blocks.Alone.Total())
	r.Energy = r.Energy || line.Joules > 0
	r.Steps = append(r.Steps, line)
}

// judge sets how far the predictions are off.
func (r *serveReport) judge() {
	var here, others []float64
	for _, s := range r.Steps {
		if off := math.Abs(s.Predicted/s.Seconds - 1); fitted(s.Way) {
			here = append(here, off)
		} else {
			others = append(others, off)
		}
	}
	r.Off = serveErrors{numbers.Median(here), numbers.Median(others), slices.Max(others)}
}

// compare sets the predictions of eight A100 beside the paper's claims.
func (r *serveReport) compare() error {
	for _, claim := range serving.Claims() {
		c := serveClaim{claim.Shape, claim.Params, claim.SpeedUp, map[string][2]float64{}}
		for _, link := range serving.Links() {
			least, most, err := claim.UpTo(link)
			if err != nil {
				return err
			}
			c.Predicted[link.Name] = [2]float64{least, most}
		}
		r.Claims = append(r.Claims, c)
	}
	return nil
}

// print writes the report, for a machine or by tables for people.
func (r *serveReport) print(w io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	fmt.Fprintf(w, "%s, %d of %d layers, vocabulary of %s; %d %s\n",
		r.Shape, r.Layers, r.AllLayers, numbers.Thousands(r.Vocab), r.Processes, r.Transport)
	fmt.Fprintf(w, "threads of each: %d, on a machine of %d cores, path %s; medians of %d runs\n\n",
		r.Threads, r.Cores, r.Path, r.Runs)
	if err := errorsOf(r.printAdapters(w), r.printSteps(w), r.printPrediction(w)); err != nil {
		return err
	}
	for _, note := range r.Note {
		fmt.Fprintln(w, note)
	}
	return nil
}

// errorsOf is the first error.
func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *serveReport) printAdapters(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "adapter\trank\tparams\tof S-LoRA's\ta process's")
	for _, a := range r.Adapters[1:] {
		fmt.Fprintf(table, "%s\t%d\t%s\t%.3f\t%s\n", a.Way, a.Rank, numbers.Thousands(a.Params), a.ParamsRatio, numbers.Thousands(a.ShardParams))
	}
	fmt.Fprintln(table)
	return table.Flush()
}

func (r *serveReport) printSteps(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := "step\tadapter\tms\tof BD-LoRA's\tcomputing\tbase's calls\tadapter's\tcalls alone\tof BD-LoRA's\t" +
		"base's a layer\tadapter's a layer\tpredicted ms"
	if r.Energy {
		head += "\tJ"
	}
	fmt.Fprintln(table, head)
	for i, s := range r.Steps {
		name := ""
		if i == 0 || s.name() != r.Steps[i-1].name() {
			name = s.name()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%.3f\t%s\t%s\t%s\t%s\t%.2f\t%d, %s B\t%d, %s B\t%s", name, s.adapter(),
			numbers.Milliseconds(s.Seconds), s.Ratio,
			numbers.Milliseconds(s.Parts.Compute), numbers.Milliseconds(s.Parts.Base), numbers.Milliseconds(s.Parts.Adapter),
			numbers.Milliseconds(s.Alone.Total()), s.AloneRatio, s.BaseCalls, numbers.Thousands(s.BaseBytes),
			s.AdapterCalls, numbers.Thousands(s.AdapterBytes), numbers.Milliseconds(s.Predicted))
		if r.Energy {
			fmt.Fprintf(table, "\t%.3g", s.Joules)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// name is the step as people call it.
func (s serveStep) name() string {
	if s.Past == 0 {
		return fmt.Sprintf("prompt of %d", s.Tokens)
	}
	return fmt.Sprintf("token × %d behind %d", s.Sequences, s.Past)
}

// adapter is the setup as people call it.
func (s serveStep) adapter() string {
	if s.Way == serving.None {
		return s.Way.String()
	}
	return fmt.Sprintf("%s %d", s.Way, s.Rank)
}

func (r *serveReport) printPrediction(w io.Writer) error {
	fmt.Fprintf(w, "\nfitted: %.3g GB/s read, %.3g GFLOP/s, %.3g µs an adapter's product",
		r.Machine.ReadRate/1e9, r.Machine.FlopRate/1e9, 1e6*r.Machine.Product)
	if r.Processes > 1 {
		fmt.Fprintf(w, "; all-reduce %.3g µs and %s, all-gather %.3g µs and %s",
			1e6*r.Link.AllReduce.Latency, perByte(r.Link.AllReduce), 1e6*r.Link.AllGather.Latency, perByte(r.Link.AllGather))
	}
	fmt.Fprintf(w, "\npredictions are off by %.1f%% (median) where they were fitted, "+
		"by %.1f%% (at most %.1f%%) for S-LoRA and NFS-LoRA\n\n",
		100*r.Off.FittedMedian, 100*r.Off.OtherMedian, 100*r.Off.OtherMost)
	fmt.Fprintln(w, "eight A100 by the same formulas, whole requests, S-LoRA's time over BD-LoRA's:")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "shape\tparams of S-LoRA's\tpaper: up to\tnvlink\tpcie")
	for _, c := range r.Claims {
		nvlink, pcie := c.Predicted["nvlink"], c.Predicted["pcie"]
		fmt.Fprintf(table, "%s\t%.2f\t%.2f\t%.2f to %.2f\t%.2f to %.2f\n",
			c.Shape, c.Params, c.SpeedUp, nvlink[0], nvlink[1], pcie[0], pcie[1])
	}
	return table.Flush()
}

// perByte is the rate of a line.
func perByte(l serving.Line) string {
	if l.PerByte == 0 {
		return "no more for bytes"
	}
	return fmt.Sprintf("%.3g GB/s", 1e-9/l.PerByte)
}
