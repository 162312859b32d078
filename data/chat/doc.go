// Package chat renders conversations with a model folder's own chat template, and
// says which bytes of the text are the assistant's.
//
// Templates are written in Jinja for the environment that Hugging Face transformers
// gives them: blocks trim the white space around them, loops may break, and there
// are raise_exception, strftime_now, tojson and {% generation %}. The text is, byte
// for byte, what apply_chat_template returns; the goldens in testdata were made by
// it. Where jinja2 would stop at an undefined variable, the engine beneath prints
// nothing.
package chat
