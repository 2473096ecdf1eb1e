// Counts the source lines that a Go executable has instructions of, from the table that Go keeps for its own stack
// traces (.gopclntab) and that is there in stripped ones too: `go run lines.go FILE...` prints lines, those of assembly,
// and loaded bytes of each, and the lines of all together.
//
// The same definition as of `hacher-fabric tcb`: a line counts once, however often it was copied into others, if at
// least one byte of code is attributed to it.
package main

import (
	"debug/elf"
	"debug/gosym"
	"fmt"
	"os"
	"strings"
)

type line struct {
	file   string
	number int
}

func count(path string, found map[line]bool) (uint64, error) {
	file, err := elf.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var loaded uint64
	for _, section := range file.Sections {
		if section.Flags&elf.SHF_ALLOC != 0 && section.Type != elf.SHT_NOBITS {
			loaded += section.Size
		}
	}
	text, lines := file.Section(".text"), file.Section(".gopclntab")
	if text == nil || lines == nil {
		return 0, fmt.Errorf("%s is no Go executable", path)
	}
	data, err := lines.Data()
	if err != nil {
		return 0, err
	}
	// Where Go's own code begins, behind what the linker puts before it, is in the table's header: magic, four bytes,
	// and the third of the words behind them.
	start := file.ByteOrder.Uint64(data[8+2*8:])
	table, err := gosym.NewTable(nil, gosym.NewLineTable(data, start))
	if err != nil {
		return 0, err
	}
	for _, function := range table.Funcs {
		for pc := function.Entry; pc < function.End; pc++ {
			if name, number, of := table.PCToLine(pc); of != nil && number > 0 {
				found[line{name, number}] = true
			}
		}
	}
	return loaded, nil
}

func assembly(found map[line]bool) (count int) {
	for at := range found {
		if strings.HasSuffix(at.file, ".s") {
			count++
		}
	}
	return
}

func main() {
	together := map[line]bool{}
	for _, path := range os.Args[1:] {
		found := map[line]bool{}
		loaded, err := count(path, found)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(path, len(found), assembly(found), loaded)
		for at := range found {
			together[at] = true
		}
	}
	fmt.Println("together", len(together), assembly(together))
}
