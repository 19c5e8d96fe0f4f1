// What the measurements of processes execute: nothing.
int main(void) { return 0; }
