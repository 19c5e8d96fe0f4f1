// Command kernel is the unikernel's main program.
package main

func main() { println("husk") }
