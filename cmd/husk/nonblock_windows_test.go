package main

func nonblock(int) {}
