// Command kernel is the unikernel's main program.
package main

import "husk/kernel/cpu"

func main() {
	cpu.WriteSerial([]byte("husk\n"))
	cpu.PowerOff(0)
}
