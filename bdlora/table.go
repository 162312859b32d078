package bdlora

// Row is one line of a plan's table: a linear that has the same rank in Layers
// layers.
type Row struct {
	Linear  Linear
	Layers  int
	Rank    int     // r, over all shards
	Scaling float64 // s
	A, B    [2]int  // rows and columns of one shard's factors
	// Params counts one layer over all shards; LoRAParams is plain LoRA of the same
	// rank: r·(in + out).
	Params, LoRAParams int64
}

// Ratio is Params to LoRAParams.
func (r Row) Ratio() float64 { return float64(r.Params) / float64(r.LoRAParams) }

// Table lists the plan's modules, those that differ in nothing but the layer as one
// row, in the order of their first.
func (p *Plan) Table() []Row {
	var rows []Row
	at := make(map[Row]int)
	for _, m := range p.Modules {
		row := Row{
			Linear: m.Linear, Rank: m.Rank, Scaling: m.Scaling,
			A: [2]int{m.A.Rows, m.A.Cols}, B: [2]int{m.B.Rows, m.B.Cols},
			Params:     int64(p.Shards()) * int64(m.A.Len()+m.B.Len()),
			LoRAParams: int64(m.Rank) * int64(m.Linear.In+m.Linear.Out),
		}
		i, known := at[row]
		if !known {
			i = len(rows)
			at[row] = i
			rows = append(rows, row)
		}
		rows[i].Layers++
	}
	return rows
}
