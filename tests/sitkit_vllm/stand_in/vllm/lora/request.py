class LoRARequest:
    def __init__(self, lora_name: str, lora_int_id: int, lora_path: str = "", load_inplace: bool = False) -> None:
        if lora_int_id < 1:
            raise ValueError(f"id must be > 0, got {lora_int_id}")
        if not isinstance(lora_path, str) or not lora_path:
            raise ValueError("lora_path cannot be empty")
        self.lora_name, self.lora_int_id, self.lora_path = lora_name, lora_int_id, lora_path
