package main

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"husk/host/oci"
	"husk/host/terminal"
)

// bars shows transfers on a terminal, and nothing elsewhere.
type bars struct{ p *mpb.Progress }

// newBars gives what shows transfers on w, and what ends the showing.
func newBars(w io.Writer) (oci.Bars, func()) {
	f, ok := w.(*os.File)
	if !ok || !terminal.IsTerminal(f) {
		return nil, func() {}
	}
	p := mpb.New(mpb.WithOutput(f), mpb.WithWidth(40), mpb.WithAutoRefresh())
	return bars{p}, p.Shutdown
}

// Bar implements oci.Bars.
func (b bars) Bar(label string, total int64) func(int64) {
	bar := b.p.AddBar(total,
		mpb.PrependDecorators(decor.Name(label+" "), decor.CountersKiloByte("% .1f / % .1f")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageSpeed(decor.SizeB1000(0), "% .1f")))
	return bar.IncrInt64
}
