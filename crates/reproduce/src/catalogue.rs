//! The catalogue: what every paper is called, and which command is its home. What state it is in is not said here; that is earned.

use crate::paper::Verb::{self, Find, Judge, Make, Plan, Shrink};

/// What is known of a paper before anything is measured.
pub(crate) struct Entry {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) arxiv: Option<&'static str>,
    pub(crate) verb: Verb,
    pub(crate) command: &'static str,
}

const fn entry(
    id: &'static str,
    arxiv: &'static str,
    verb: Verb,
    command: &'static str,
    title: &'static str,
) -> Entry {
    Entry {
        id,
        title,
        arxiv: Some(arxiv),
        verb,
        command,
    }
}

/// All papers, by subject.
#[rustfmt::skip] // One paper a line, so that it reads as a table.
pub(crate) const CATALOGUE: &[Entry] = &[
    // Make.
    entry("starbucks", "2410.13230", Make, "kokeshi train", "Starbucks: Improved Training for 2D Matryoshka Embeddings"),
    entry("2dmse", "2402.14776", Make, "kokeshi train", "2D Matryoshka Sentence Embeddings"),
    entry("mrl", "2205.13147", Make, "kokeshi train", "Matryoshka Representation Learning"),
    entry("gistembed", "2402.16829", Make, "kokeshi train", "GISTEmbed: Guided In-sample Selection of Training Negatives for Text Embedding Fine-tuning"),
    entry("qwen3-embedding", "2506.05176", Make, "kokeshi train", "Qwen3 Embedding: Advancing Text Embedding and Reranking Through Foundation Models"),
    entry("kalm-v2", "2506.20923", Make, "kokeshi train", "KaLM-Embedding-V2: Superior Training Techniques and Data Inspire A Versatile Embedding Model"),
    entry("pooling-and-attention", "2409.02727", Make, "kokeshi train", "Pooling And Attention: What Are Effective Designs For LLM-Based Embedding Models?"),
    entry("nv-embed", "2405.17428", Make, "kokeshi train", "NV-Embed: Improved Techniques for Training LLMs as Generalist Embedding Models"),
    entry("byte2word", "2211.12677", Make, "kokeshi train", "Word-Level Representation From Bytes For Language Modeling"),
    entry("aspect-embeddings", "2203.14541", Make, "kokeshi train", "Specialized Document Embeddings for Aspect-based Similarity of Research Papers"),
    entry("sesa", "1708.03246", Make, "kokeshi train", "SESA: Supervised Explicit Semantic Analysis"),
    entry("loki", "2307.12226", Judge, "kokeshi eval", "Geometry-Aware Adaptation for Pretrained Models"),
    entry("tempscale", "2410.24200", Make, "kokeshi embed", "Length-Induced Embedding Collapse in Transformer-based Models"),
    // Images, audio and video.
    entry("vlm2vec", "2410.05160", Make, "kokeshi embed", "VLM2Vec: Training Vision-Language Models for Massive Multimodal Embedding Tasks"),
    entry("basic", "2111.10050", Make, "kokeshi train", "Combined Scaling for Zero-shot Transfer Learning"),
    entry("bioclip2", "2505.23883", Make, "kokeshi train", "BioCLIP 2: Emergent Properties from Scaling Hierarchical Contrastive Learning"),
    entry("cct", "2104.05704", Make, "kokeshi train", "Escaping the Big Data Paradigm with Compact Transformers"),
    entry("clim", "2312.11376", Make, "kokeshi train", "CLIM: Contrastive Language-Image Mosaic for Region Representation"),
    entry("stream", "2403.09669", Judge, "kokeshi probe", "STREAM: Spatio-TempoRal Evaluation and Analysis Metric for Video Generative Models"),
    entry("resformer", "2212.00776", Make, "kokeshi train", "ResFormer: Scaling ViTs with Multi-Resolution Training"),
    entry("crossformer", "2108.00154", Make, "kokeshi train", "CrossFormer: A Versatile Vision Transformer Hinging on Cross-scale Attention"),
    entry("decor", "2412.09169", Find, "kokeshi search", "DECOR: Decomposition and Projection of Text Embeddings for Text-to-Image Customization"),
    entry("conette", "2309.00454", Make, "kokeshi embed", "CoNeTTE: An efficient Audio Captioning system leveraging multiple datasets with Task Embedding"),
    entry("neti", "2305.15391", Make, "kokeshi train", "A Neural Space-Time Representation for Text-to-Image Personalization"),
    entry("stu-net", "2304.06716", Make, "kokeshi embed", "STU-Net: Scalable and Transferable Medical Image Segmentation Models"),
    entry("meteor", "2405.15574", Make, "kokeshi train", "Meteor: Mamba-based Traversal of Rationale for Large Language and Vision Models"),
    entry("any2anytryon", "2501.15891", Make, "kokeshi train", "Any2AnyTryon: Leveraging Adaptive Position Embeddings for Versatile Virtual Clothing Tasks"),
    // Context, cache and vocabulary.
    entry("longembed", "2404.12096", Make, "kokeshi embed", "LongEmbed: Extending Embedding Models for Long Context Retrieval"),
    entry("clex", "2310.16450", Make, "kokeshi train", "CLEX: Continuous Length Extrapolation for Large Language Models"),
    entry("lm-infinite", "2308.16137", Make, "kokeshi embed", "LM-Infinite: Zero-Shot Extreme Length Generalization for Large Language Models"),
    entry("nope", "2305.19466", Make, "kokeshi train", "The Impact of Positional Encoding on Length Generalization in Transformers"),
    entry("a2ats", "2502.12665", Shrink, "kokeshi shrink", "A2ATS: Retrieval-Based KV Cache Reduction via Windowed Rotary Position Embedding and Query-Aware Vector Quantization"),
    entry("scissorhands", "2305.17118", Shrink, "kokeshi shrink", "Scissorhands: Exploiting the Persistence of Importance Hypothesis for LLM KV Cache Compression at Test Time"),
    entry("lep", "2412.21140", Make, "kokeshi vocab", "Facilitating large language model Russian adaptation with Learned Embedding Propagation"),
    entry("bailong", "2404.00862", Make, "kokeshi vocab", "Bailong: Bilingual Transfer Learning based on QLoRA and Zip-tie Embedding"),
    entry("vocabulary-expansion", "2406.11477", Make, "kokeshi vocab", "Vocabulary Expansion for Low-resource Cross-lingual Transfer"),
    entry("maft", "2204.06487", Shrink, "kokeshi vocab", "Adapting Pre-trained Language Models to African Languages via Multilingual Adaptive Fine-Tuning"),
    entry("codegen2", "2305.02309", Make, "kokeshi train", "CodeGen2: Lessons for Training LLMs on Programming and Natural Languages"),
    entry("vocabulary-law", "2407.13623", Plan, "kokeshi plan", "Scaling Laws with Vocabulary: Larger Models Deserve Larger Vocabularies"),
    // Shrink and find.
    entry("bebr", "2302.08714", Shrink, "kokeshi shrink", "Binary Embedding-based Retrieval at Tencent"),
    entry("bidr", "2201.05409", Shrink, "kokeshi shrink", "Progressively Optimized Bi-Granular Document Representation for Scalable Embedding Based Retrieval"),
    entry("pca-rag", "2504.08386", Shrink, "kokeshi shrink", "Principal Component Analysis for Efficient Retrieval-Augmented Generation"),
    entry("fanns", "2507.21989", Find, "kokeshi search", "Benchmarking Filtered Approximate Nearest Neighbor Search Algorithms on Transformer-based Embedding Vectors"),
    entry("cosine-adapter", "2408.04887", Find, "kokeshi search", "Relevance Filtering for Embedding-based Retrieval"),
    entry("t2-ragbench", "2506.12071", Judge, "kokeshi eval", "T2-RAGBench: Text-and-Table Benchmark for Evaluating Retrieval-Augmented Generation"),
    entry("massiveds", "2407.12854", Find, "kokeshi search", "Scaling Retrieval-Based Language Models with a Trillion-Token Datastore"),
    entry("finmteb", "2409.18511", Judge, "kokeshi eval", "Do We Need Domain-Specific Embedding Models? An Empirical Investigation"),
    entry("rewire", "2506.04689", Make, "kokeshi train", "Recycling the Web: A Method to Enhance Pre-training Data Quality and Quantity for Language Models"),
    entry("text-to-source", "2309.13322", Judge, "kokeshi probe", "From Text to Source: Results in Detecting Large Language Model-Generated Content"),
    // Tables and graphs.
    entry("graphhash", "2412.17245", Shrink, "kokeshi table", "GraphHash: Graph Clustering Enables Parameter Efficiency in Recommender Systems"),
    entry("optembed", "2208.04482", Shrink, "kokeshi table", "OptEmbed: Learning Optimal Embedding Table for Click-through Rate Prediction"),
    entry("vector-storage", "2311.15578", Shrink, "kokeshi table", "Experimental Analysis of Large-scale Learnable Vector Storage Compression"),
    entry("dnis", "2006.04466", Shrink, "kokeshi table", "Differentiable Neural Input Search for Recommender Systems"),
    entry("unified-embedding", "2305.12102", Shrink, "kokeshi table", "Unified Embedding: Battle-Tested Feature Representations for Web-Scale ML Systems"),
    entry("mqsa-ted", "2311.01056", Make, "kokeshi table", "Collaboration and Transition: Distilling Item Transitions into Multi-Query Self-Attention for Sequential Recommendation"),
    entry("fastrp", "1908.11512", Make, "kokeshi graph", "Fast and Accurate Network Embeddings via Very Sparse Random Projection"),
    // Judge.
    entry("neural-codes", "2101.05490", Judge, "kokeshi probe", "Neural networks behave as hash encoders: An empirical study"),
    entry("intrinsic-dimension", "2012.13255", Judge, "kokeshi probe", "Intrinsic Dimensionality Explains the Effectiveness of Language Model Fine-Tuning"),
    entry("dataset-properties", "2401.08865", Judge, "kokeshi probe", "The Effect of Intrinsic Dataset Properties on Generalization: Unraveling Learning Differences Between Natural and Medical Images"),
    entry("observatory", "2310.07736", Judge, "kokeshi probe", "Observatory: Characterizing Embeddings of Relational Tables"),
    entry("static-turkish", "2405.07778", Make, "kokeshi distill", "A Comprehensive Analysis of Static Word Embeddings for Turkish"),
    entry("word-and-document", "1611.05962", Make, "kokeshi train", "Word and Document Embeddings based on Neural Network Approaches"),
    entry("acknowledgement-ner", "2307.13377", Make, "kokeshi train", "Embedding Models for Supervised Automatic Extraction and Classification of Named Entities in Scientific Acknowledgements"),
    entry("ast-probe", "2206.11719", Judge, "kokeshi probe", "AST-Probe: Recovering abstract syntax trees from hidden representations of pre-trained language models"),
    // Plan.
    entry("hestness", "1712.00409", Plan, "kokeshi plan", "Deep Learning Scaling is Predictable, Empirically"),
    entry("nmt-law", "2109.07740", Plan, "kokeshi plan", "Scaling Laws for Neural Machine Translation"),
    entry("henighan", "2010.14701", Plan, "kokeshi plan", "Scaling Laws for Autoregressive Generative Modeling"),
    entry("loss-trajectory", "2403.06563", Plan, "kokeshi plan", "Unraveling the Mystery of Scaling Laws: Part I"),
    entry("qid-law", "2411.17691", Plan, "kokeshi plan", "Low-Bit Quantization Favors Undertrained LLMs: Scaling Laws for Quantized LLMs with 100T Training Tokens"),
    entry("knowledge-capacity", "2404.05405", Judge, "kokeshi probe", "Physics of Language Models: Part 3.3, Knowledge Capacity Scaling Laws"),
    entry("superposition", "2505.10465", Plan, "kokeshi plan", "Superposition Yields Robust Neural Scaling"),
    entry("repeated-data", "2305.13230", Plan, "kokeshi plan", "To Repeat or Not To Repeat: Insights from Scaling LLM under Token-Crisis"),
    entry("data-pruning", "2206.14486", Make, "kokeshi train", "Beyond neural scaling laws: beating power law scaling via data pruning"),
    entry("log-linear-data", "1707.02968", Plan, "kokeshi plan", "Revisiting Unreasonable Effectiveness of Data in Deep Learning Era"),
    entry("power-scheduler", "2408.13359", Make, "kokeshi train", "Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler"),
    entry("mup", "2011.14522", Make, "kokeshi train", "Feature Learning in Infinite-Width Neural Networks"),
];
