// The rows of tensor names and layouts that GGUF families are put together from. llama.cpp: gguf-py/gguf/tensor_mapping.py names the same
// pairs, its conversion scripts the layouts.
#pragma once
#include "checkpoint/gguf_family.h"

namespace infernum::gguf_rows {

using enum GgufUse;
using Order = GgufOrder;
using Values = GgufValues;
using Form = GgufForm;

inline constexpr GgufTensor decoder[] = {
    {"token_embd.*", "model.embed_tokens.*"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.*", "lm_head.*"},
    {"blk.N.attn_norm.weight", "model.layers.N.input_layernorm.weight"},
    {"blk.N.attn_q.*", "model.layers.N.self_attn.q_proj.*"},
    {"blk.N.attn_k.*", "model.layers.N.self_attn.k_proj.*"},
    {"blk.N.attn_v.*", "model.layers.N.self_attn.v_proj.*"},
    {"blk.N.attn_output.*", "model.layers.N.self_attn.o_proj.*"},
    {"blk.N.attn_q_norm.weight", "model.layers.N.self_attn.q_norm.weight"},
    {"blk.N.attn_k_norm.weight", "model.layers.N.self_attn.k_norm.weight"},
    {"blk.N.ffn_gate.*", "model.layers.N.mlp.gate_proj.*"},
    {"blk.N.ffn_up.*", "model.layers.N.mlp.up_proj.*"},
    {"blk.N.ffn_down.*", "model.layers.N.mlp.down_proj.*"},
};

/// Marks what no layer of a complete model lacks; the layout is that of the rows of the same names elsewhere.
inline constexpr GgufTensor every_layer_has_attention[] = {
    {"blk.N.attn_q.weight", "model.layers.N.self_attn.q_proj.weight", EveryLayer},
    {"blk.N.attn_k.weight", "model.layers.N.self_attn.k_proj.weight", EveryLayer},
    {"blk.N.attn_v.weight", "model.layers.N.self_attn.v_proj.weight", EveryLayer},
    {"blk.N.attn_output.weight", "model.layers.N.self_attn.o_proj.weight", EveryLayer},
};
inline constexpr GgufTensor paired_heads[] = {
    {"blk.N.attn_q.weight", "model.layers.N.self_attn.q_proj.weight", EveryLayer, Order::QueryPairs},
    {"blk.N.attn_k.weight", "model.layers.N.self_attn.k_proj.weight", EveryLayer, Order::KeyPairs},
    {"blk.N.attn_v.weight", "model.layers.N.self_attn.v_proj.weight", EveryLayer},
    {"blk.N.attn_output.weight", "model.layers.N.self_attn.o_proj.weight", EveryLayer},
    {"blk.N.attn_q.bias", "model.layers.N.self_attn.q_proj.bias", Both, Order::QueryPairs},
    {"blk.N.attn_k.bias", "model.layers.N.self_attn.k_proj.bias", Both, Order::KeyPairs},
};

inline constexpr GgufTensor pre_norms[] = {
    {"blk.N.attn_norm.weight", "model.layers.N.input_layernorm.weight", EveryLayer},
    {"blk.N.ffn_norm.weight", "model.layers.N.post_attention_layernorm.weight", EveryLayer},
};
/// The norm before the MLP under a name that elsewhere means the norm behind attention.
inline constexpr GgufTensor misnamed_pre_norms[] = {
    {"blk.N.attn_norm.weight", "model.layers.N.input_layernorm.weight", EveryLayer},
    {"blk.N.post_attention_norm.weight", "model.layers.N.post_attention_layernorm.weight", EveryLayer},
};
inline constexpr GgufTensor one_norm[] = {
    {"blk.N.attn_norm.weight", "model.layers.N.input_layernorm.weight", EveryLayer},
};
inline constexpr GgufTensor post_norms[] = {
    {"blk.N.post_attention_norm.weight", "model.layers.N.post_attention_layernorm.weight", EveryLayer},
    {"blk.N.post_ffw_norm.weight", "model.layers.N.post_feedforward_layernorm.weight", EveryLayer},
};
inline constexpr GgufTensor glm4_norms[] = {
    {"blk.N.attn_norm.weight", "model.layers.N.input_layernorm.weight", EveryLayer},
    {"blk.N.post_attention_norm.weight", "model.layers.N.post_self_attn_layernorm.weight", EveryLayer},
    {"blk.N.ffn_norm.weight", "model.layers.N.post_attention_layernorm.weight", EveryLayer},
    {"blk.N.post_ffw_norm.weight", "model.layers.N.post_mlp_layernorm.weight", EveryLayer},
};
inline constexpr GgufTensor gemma_norms[] = {
    {"output_norm.weight", "model.norm.weight", Both, Order::Same, Values::PlusOne},
    {"blk.N.attn_norm.weight", "model.layers.N.input_layernorm.weight", EveryLayer, Order::Same, Values::PlusOne},
    {"blk.N.post_attention_norm.weight", "model.layers.N.post_attention_layernorm.weight", EveryLayer, Order::Same, Values::PlusOne},
    {"blk.N.ffn_norm.weight", "model.layers.N.pre_feedforward_layernorm.weight", EveryLayer, Order::Same, Values::PlusOne},
    {"blk.N.post_ffw_norm.weight", "model.layers.N.post_feedforward_layernorm.weight", EveryLayer, Order::Same, Values::PlusOne},
    {"blk.N.attn_q_norm.weight", "model.layers.N.self_attn.q_norm.weight", Both, Order::Same, Values::PlusOne},
    {"blk.N.attn_k_norm.weight", "model.layers.N.self_attn.k_norm.weight", Both, Order::Same, Values::PlusOne},
};
inline constexpr GgufTensor gemma4_rows[] = {
    {"blk.N.attn_norm.weight", "model.layers.N.input_layernorm.weight", EveryLayer},
    {"blk.N.post_attention_norm.weight", "model.layers.N.post_attention_layernorm.weight", EveryLayer},
    {"blk.N.ffn_norm.weight", "model.layers.N.pre_feedforward_layernorm.weight", EveryLayer},
    {"blk.N.post_ffw_norm.weight", "model.layers.N.post_feedforward_layernorm.weight", EveryLayer},
    {"blk.N.post_ffw_norm_1.weight", "model.layers.N.post_feedforward_layernorm_1.weight"},
    {"blk.N.post_ffw_norm_2.weight", "model.layers.N.post_feedforward_layernorm_2.weight"},
    {"blk.N.pre_ffw_norm_2.weight", "model.layers.N.pre_feedforward_layernorm_2.weight"},
    {"blk.N.layer_output_scale.weight", "model.layers.N.layer_scalar"},
    {"blk.N.inp_gate.weight", "model.layers.N.per_layer_input_gate.weight"},
    {"blk.N.proj.weight", "model.layers.N.per_layer_projection.weight"},
    {"blk.N.post_norm.weight", "model.layers.N.post_per_layer_input_norm.weight"},
    {"per_layer_token_embd.weight", "model.embed_tokens_per_layer.weight"},
    {"per_layer_model_proj.weight", "model.per_layer_model_projection.weight"},
    {"per_layer_proj_norm.weight", "model.per_layer_projection_norm.weight"},
    {"blk.N.ffn_gate_inp.weight", "model.layers.N.router.proj.weight"},
    {"blk.N.ffn_gate_inp.scale", "model.layers.N.router.scale"},
    {"blk.N.ffn_down_exps.scale", "model.layers.N.router.per_expert_scale"},
    {"blk.N.ffn_gate_up_exps.weight", "model.layers.N.experts.gate_up_proj"},
    {"blk.N.ffn_gate_exps.weight", "model.layers.N.experts.gate_proj.weight"},
    {"blk.N.ffn_up_exps.weight", "model.layers.N.experts.up_proj.weight"},
    {"blk.N.ffn_down_exps.weight", "model.layers.N.experts.down_proj"},
};

inline constexpr GgufTensor hunyuan_norms[] = {
    {"blk.N.attn_q_norm.weight", "model.layers.N.self_attn.query_layernorm.weight"},
    {"blk.N.attn_k_norm.weight", "model.layers.N.self_attn.key_layernorm.weight"},
};
inline constexpr GgufTensor fused_mlp[] = {
    {"blk.N.ffn_up.weight", "model.layers.N.mlp.gate_up_proj.weight", EveryLayer},
    {"blk.N.ffn_down.weight", "model.layers.N.mlp.down_proj.weight", EveryLayer},
};
inline constexpr GgufTensor fused_qkv[] = {
    {"blk.N.attn_qkv.weight", "model.layers.N.self_attn.qkv_proj.weight", EveryLayer},
    {"blk.N.attn_output.weight", "model.layers.N.self_attn.o_proj.weight", EveryLayer},
};

/// Experts as mixtral spells them.
inline constexpr GgufTensor mixtral_experts[] = {
    {"blk.N.ffn_gate_inp.weight", "model.layers.N.block_sparse_moe.gate.weight"},
    {"blk.N.ffn_gate_exps.weight", "model.layers.N.block_sparse_moe.experts.w1.weight"},
    {"blk.N.ffn_up_exps.weight", "model.layers.N.block_sparse_moe.experts.w3.weight"},
    {"blk.N.ffn_down_exps.weight", "model.layers.N.block_sparse_moe.experts.w2.weight"},
    {"blk.N.ffn_gate.E.weight", "model.layers.N.block_sparse_moe.experts.E.w1.weight", ReadOnly},
    {"blk.N.ffn_up.E.weight", "model.layers.N.block_sparse_moe.experts.E.w3.weight", ReadOnly},
    {"blk.N.ffn_down.E.weight", "model.layers.N.block_sparse_moe.experts.E.w2.weight", ReadOnly},
    {"blk.N.ffn_gate_exps.weight", "model.layers.N.block_sparse_moe.experts.E.w1.weight", WriteOnly, Order::Experts},
    {"blk.N.ffn_up_exps.weight", "model.layers.N.block_sparse_moe.experts.E.w3.weight", WriteOnly, Order::Experts},
    {"blk.N.ffn_down_exps.weight", "model.layers.N.block_sparse_moe.experts.E.w2.weight", WriteOnly, Order::Experts},
};
/// Experts as everybody else does: one by one, stacked, or with gate and up fused.
inline constexpr GgufTensor experts[] = {
    {"blk.N.ffn_gate_inp.weight", "model.layers.N.mlp.gate.weight"},
    {"blk.N.exp_probs_b.bias", "model.layers.N.mlp.gate.e_score_correction_bias"},
    {"blk.N.ffn_gate_exps.weight", "model.layers.N.mlp.experts.gate_proj.weight"},
    {"blk.N.ffn_up_exps.weight", "model.layers.N.mlp.experts.up_proj.weight"},
    {"blk.N.ffn_down_exps.weight", "model.layers.N.mlp.experts.down_proj.weight"},
    {"blk.N.ffn_gate_up_exps.weight", "model.layers.N.mlp.experts.gate_up_proj", ReadOnly},
    {"blk.N.ffn_gate.E.weight", "model.layers.N.mlp.experts.E.gate_proj.weight", ReadOnly},
    {"blk.N.ffn_up.E.weight", "model.layers.N.mlp.experts.E.up_proj.weight", ReadOnly},
    {"blk.N.ffn_down.E.weight", "model.layers.N.mlp.experts.E.down_proj.weight", ReadOnly},
    {"blk.N.ffn_gate_exps.weight", "model.layers.N.mlp.experts.E.gate_proj.weight", WriteOnly, Order::Experts},
    {"blk.N.ffn_up_exps.weight", "model.layers.N.mlp.experts.E.up_proj.weight", WriteOnly, Order::Experts},
    {"blk.N.ffn_down_exps.weight", "model.layers.N.mlp.experts.E.down_proj.weight", WriteOnly, Order::Experts},
    {"blk.N.ffn_gate_exps.weight", "model.layers.N.mlp.experts.gate_up_proj", WriteOnly, Order::FirstRows},
    {"blk.N.ffn_up_exps.weight", "model.layers.N.mlp.experts.gate_up_proj", WriteOnly, Order::SecondRows},
    {"blk.N.ffn_down_exps.weight", "model.layers.N.mlp.experts.down_proj", WriteOnly},
};
inline constexpr GgufTensor shared_experts[] = {
    {"blk.N.ffn_gate_shexp.weight", "model.layers.N.mlp.shared_experts.gate_proj.weight"},
    {"blk.N.ffn_up_shexp.weight", "model.layers.N.mlp.shared_experts.up_proj.weight"},
    {"blk.N.ffn_down_shexp.weight", "model.layers.N.mlp.shared_experts.down_proj.weight"},
};
inline constexpr GgufTensor gated_shared_expert[] = {
    {"blk.N.ffn_gate_shexp.weight", "model.layers.N.mlp.shared_expert.gate_proj.weight"},
    {"blk.N.ffn_up_shexp.weight", "model.layers.N.mlp.shared_expert.up_proj.weight"},
    {"blk.N.ffn_down_shexp.weight", "model.layers.N.mlp.shared_expert.down_proj.weight"},
    {"blk.N.ffn_gate_inp_shexp.weight", "model.layers.N.mlp.shared_expert_gate.weight", Both, Order::Same, Values::Same,
     Form::WithoutFirst},
};
inline constexpr GgufTensor gpt_oss_rows[] = {
    {"blk.N.attn_sinks.weight", "model.layers.N.self_attn.sinks"},
    {"blk.N.ffn_gate_inp.*", "model.layers.N.mlp.router.*"},
    {"blk.N.ffn_gate_exps.*", "model.layers.N.mlp.experts.gate_proj.*"},
    {"blk.N.ffn_up_exps.*", "model.layers.N.mlp.experts.up_proj.*"},
    {"blk.N.ffn_down_exps.*", "model.layers.N.mlp.experts.down_proj.*"},
    {"blk.N.ffn_gate_exps.weight", "model.layers.N.mlp.experts.gate_up_proj", WriteOnly, Order::EvenTransposed},
    {"blk.N.ffn_up_exps.weight", "model.layers.N.mlp.experts.gate_up_proj", WriteOnly, Order::OddTransposed},
    {"blk.N.ffn_down_exps.weight", "model.layers.N.mlp.experts.down_proj", WriteOnly, Order::Transposed},
    {"blk.N.ffn_gate_exps.weight", "model.layers.N.mlp.experts.gate_up_proj_blocks", WriteOnly, Order::EvenBlocks},
    {"blk.N.ffn_up_exps.weight", "model.layers.N.mlp.experts.gate_up_proj_blocks", WriteOnly, Order::OddBlocks},
    {"blk.N.ffn_down_exps.weight", "model.layers.N.mlp.experts.down_proj_blocks", WriteOnly, Order::Blocks},
    {"blk.N.ffn_gate_exps.bias", "model.layers.N.mlp.experts.gate_up_proj_bias", WriteOnly, Order::EvenColumns},
    {"blk.N.ffn_up_exps.bias", "model.layers.N.mlp.experts.gate_up_proj_bias", WriteOnly, Order::OddColumns},
    {"blk.N.ffn_down_exps.bias", "model.layers.N.mlp.experts.down_proj_bias", WriteOnly},
};
inline constexpr GgufTensor llama4_rows[] = {
    {"blk.N.ffn_gate_inp.weight", "model.layers.N.feed_forward.router.weight"},
    {"blk.N.ffn_gate.*", "model.layers.N.feed_forward.gate_proj.*"},
    {"blk.N.ffn_up.*", "model.layers.N.feed_forward.up_proj.*"},
    {"blk.N.ffn_down.*", "model.layers.N.feed_forward.down_proj.*"},
    {"blk.N.ffn_gate_shexp.weight", "model.layers.N.feed_forward.shared_expert.gate_proj.weight"},
    {"blk.N.ffn_up_shexp.weight", "model.layers.N.feed_forward.shared_expert.up_proj.weight"},
    {"blk.N.ffn_down_shexp.weight", "model.layers.N.feed_forward.shared_expert.down_proj.weight"},
    {"blk.N.ffn_gate_exps.weight", "model.layers.N.feed_forward.experts.gate_proj.weight"},
    {"blk.N.ffn_up_exps.weight", "model.layers.N.feed_forward.experts.up_proj.weight"},
    {"blk.N.ffn_down_exps.weight", "model.layers.N.feed_forward.experts.down_proj.weight"},
    {"blk.N.ffn_gate_exps.weight", "model.layers.N.feed_forward.experts.gate_up_proj", WriteOnly, Order::FirstTransposed},
    {"blk.N.ffn_up_exps.weight", "model.layers.N.feed_forward.experts.gate_up_proj", WriteOnly, Order::SecondTransposed},
    {"blk.N.ffn_down_exps.weight", "model.layers.N.feed_forward.experts.down_proj", WriteOnly, Order::Transposed},
};

inline constexpr GgufTensor latent_attention[] = {
    {"blk.N.attn_q_a.*", "model.layers.N.self_attn.q_a_proj.*"},
    {"blk.N.attn_q_a_norm.weight", "model.layers.N.self_attn.q_a_layernorm.weight"},
    {"blk.N.attn_q_b.weight", "model.layers.N.self_attn.q_b_proj.weight"},
    {"blk.N.attn_kv_a_mqa.*", "model.layers.N.self_attn.kv_a_proj_with_mqa.*"},
    {"blk.N.attn_kv_a_norm.weight", "model.layers.N.self_attn.kv_a_layernorm.weight", EveryLayer},
    {"blk.N.attn_output.weight", "model.layers.N.self_attn.o_proj.weight", EveryLayer},
    {"blk.N.attn_kv_b.weight", "model.layers.N.self_attn.kv_b_proj.weight", ReadOnly},
    {"blk.N.attn_k_b.weight", "model.layers.N.self_attn.k_b_proj.weight"},
    {"blk.N.attn_v_b.weight", "model.layers.N.self_attn.v_b_proj.weight"},
    {"blk.N.attn_k_b.weight", "model.layers.N.self_attn.kv_b_proj.weight", WriteOnly, Order::LatentKeys},
    {"blk.N.attn_v_b.weight", "model.layers.N.self_attn.kv_b_proj.weight", WriteOnly, Order::LatentValues},
};

inline constexpr GgufTensor zero_centred_norms[] = {
    {"output_norm.weight", "model.norm.weight", Both, Order::Same, Values::PlusOne},
    {"blk.N.attn_norm.weight", "model.layers.N.input_layernorm.weight", EveryLayer, Order::Same, Values::PlusOne},
    {"blk.N.post_attention_norm.weight", "model.layers.N.post_attention_layernorm.weight", EveryLayer, Order::Same, Values::PlusOne},
    {"blk.N.attn_q_norm.weight", "model.layers.N.self_attn.q_norm.weight", Both, Order::Same, Values::PlusOne},
    {"blk.N.attn_k_norm.weight", "model.layers.N.self_attn.k_norm.weight", Both, Order::Same, Values::PlusOne},
};
inline constexpr GgufTensor grouped_delta_net[] = {
    {"blk.N.attn_qkv.weight", "model.layers.N.linear_attn.in_proj_qkv.weight"},
    {"blk.N.attn_gate.weight", "model.layers.N.linear_attn.in_proj_z.weight"},
    {"blk.N.ssm_in.weight", "model.layers.N.linear_attn.in_proj_qkvz.weight", ReadOnly},
    {"blk.N.attn_qkv.weight", "model.layers.N.linear_attn.in_proj_qkvz.weight", WriteOnly, Order::GroupedQkv},
    {"blk.N.attn_gate.weight", "model.layers.N.linear_attn.in_proj_qkvz.weight", WriteOnly, Order::GroupedGate},
    {"blk.N.ssm_ba.weight", "model.layers.N.linear_attn.in_proj_ba.weight"},
    {"blk.N.ssm_conv1d.weight", "model.layers.N.linear_attn.conv1d.weight", Both, Order::Same, Values::Same, Form::WithoutMiddle},
    {"blk.N.ssm_a", "model.layers.N.linear_attn.A_log", Both, Order::Same, Values::MinusExp},
    {"blk.N.ssm_dt.bias", "model.layers.N.linear_attn.dt_bias"},
    {"blk.N.ssm_norm.weight", "model.layers.N.linear_attn.norm.weight"},
    {"blk.N.ssm_out.weight", "model.layers.N.linear_attn.out_proj.weight"},
};
inline constexpr GgufTensor tiled_delta_net[] = {
    {"blk.N.attn_qkv.weight", "model.layers.N.linear_attn.in_proj_qkv.weight", Both, Order::TiledQkv},
    {"blk.N.attn_gate.weight", "model.layers.N.linear_attn.in_proj_z.weight", Both, Order::TiledValues},
    {"blk.N.ssm_alpha.weight", "model.layers.N.linear_attn.in_proj_a.weight", Both, Order::TiledValues},
    {"blk.N.ssm_beta.weight", "model.layers.N.linear_attn.in_proj_b.weight", Both, Order::TiledValues},
    {"blk.N.ssm_conv1d.weight", "model.layers.N.linear_attn.conv1d.weight", Both, Order::TiledQkv, Values::Same, Form::WithoutMiddle},
    {"blk.N.ssm_a", "model.layers.N.linear_attn.A_log", Both, Order::TiledValues, Values::MinusExp},
    {"blk.N.ssm_dt.bias", "model.layers.N.linear_attn.dt_bias", Both, Order::TiledValues},
    {"blk.N.ssm_norm.weight", "model.layers.N.linear_attn.norm.weight"},
    {"blk.N.ssm_out.weight", "model.layers.N.linear_attn.out_proj.weight", Both, Order::TiledColumns},
};

}  // namespace infernum::gguf_rows
