"""siamjax's trackers behind the interfaces of other projects' toolkits, none of which it needs."""
