package chat_test

import (
	"fmt"
	"time"

	"bdlora/data/chat"
)

func ExampleTemplate_RenderTrained() {
	const source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}" +
		"{% if add_generation_prompt %}<assistant>{% endif %}"
	template, err := chat.Parse(source, nil, time.Time{})
	if err != nil {
		fmt.Println(err)
		return
	}
	samples, err := template.RenderTrained([]chat.Message{
		{Role: chat.User, Content: "2+2?"},
		{Role: chat.Assistant, Content: "4"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	span := samples[0].Trained[0]
	fmt.Println(samples[0].Text)
	fmt.Println(samples[0].Text[span.Start:span.End])
	// Output:
	// <user>2+2?</s><assistant>4</s>
	// 4</s>
}
