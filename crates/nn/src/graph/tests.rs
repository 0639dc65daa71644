//! What a description says of itself: shapes, names, and what it refuses.

use super::*;

type Result<T> = std::result::Result<T, GraphError>;

fn shapes(graph: &Graph) -> Vec<String> {
    graph.nodes().iter().map(|node| node.shape.to_string()).collect()
}

#[test]
fn shapes_and_weights_follow_from_the_layers() {
    let mut g = GraphBuilder::new();
    let x = g.input("images", Shape::map(3, 17, 12));
    let x = g.conv("stem", x, Conv::new(8, Window::new(3).stride(2).padding(1)).bias()).unwrap();
    let y = g.batch_norm("norm", x);
    let y = g.activation(y, Activation::Silu);
    let wide = Window { kernel: (1, 3), padding: (0, 1), ..Window::new(1) };
    let y = g.conv("depthwise", y, Conv::new(8, wide).groups(8)).unwrap();
    let x = g.concat("join", &[x, y]).unwrap();
    let x = g.max_pool("pool", x, Window::new(3).stride(2).padding(1)).unwrap();
    let x = g.upsample("up", x, 2, Interpolation::Nearest).unwrap();
    let x = g.dense("head", x, 5, Init::he(1));
    let graph = g.finish(x).unwrap();
    let want = [
        "3 x 17 x 12",
        "8 x 9 x 6",
        "8 x 9 x 6",
        "8 x 9 x 6",
        "8 x 9 x 6",
        "16 x 9 x 6",
        "16 x 5 x 3",
        "16 x 10 x 6",
        "5 values",
    ];
    assert_eq!(shapes(&graph), want);
    assert_eq!(graph.readers(), [1, 2, 1, 1, 1, 1, 1, 1, 1]);
    let all = (0..graph.nodes().len()).flat_map(|place| graph.parameters(NodeId(place)));
    let all: Vec<_> = all.map(|value| format!("{} {:?}", value.name, value.shape)).collect();
    let want = [
        "stem.weight [8, 3, 3, 3]",
        "stem.bias [8]",
        "norm.scale [8]",
        "norm.shift [8]",
        "norm.running_mean [8]",
        "norm.running_variance [8]",
        "depthwise.weight [8, 1, 1, 3]",
        "head.weight [5, 960]",
        "head.bias [5]",
    ];
    assert_eq!(all, want);
}

#[test]
fn what_does_not_fit_is_refused_by_the_name_of_its_layer() {
    let error = |layers: fn(&mut GraphBuilder, NodeId) -> Result<NodeId>| {
        let mut g = GraphBuilder::new();
        let x = g.input("images", Shape::map(4, 6, 8));
        layers(&mut g, x).and_then(|x| g.finish(x)).unwrap_err().to_string()
    };
    let conv = error(|g, x| g.conv("stem", x, Conv::new(8, Window::new(7))));
    assert_eq!(conv, "stem: a kernel of 7 x 7 does not fit an input of 6 x 8");
    let groups = error(|g, x| g.conv("stem", x, Conv::new(8, Window::new(1)).groups(3)));
    assert_eq!(groups, "stem: 4 channels to 8 cannot be done in 3 groups");
    let stride = error(|g, x| g.conv("stem", x, Conv::new(8, Window::new(1).stride(0))));
    assert!(stride.starts_with("stem: a window needs"), "{stride}");
    let padding = error(|g, x| g.max_pool("pool", x, Window::new(2).padding(2)));
    assert!(padding.starts_with("pool: the padding"), "{padding}");
    let sum = error(|g, x| {
        let y = g.max_pool("pool", x, Window::new(2).stride(2))?;
        g.add("sum", x, y)
    });
    assert_eq!(sum, "sum: 4 x 6 x 8 and 4 x 3 x 4 cannot be added");
    let vector = error(|g, x| {
        let v = g.global_average(x);
        let v = g.dense("narrow", v, 3, Init::he(4));
        g.add_vector("told", x, v)
    });
    assert_eq!(vector, "told: 3 values cannot be added at each place of 4 x 6 x 8");
    let map = error(|g, x| g.add_vector("told", x, x));
    assert_eq!(map, "told: 4 x 6 x 8 cannot be added at each place of 4 x 6 x 8");
    let unread = error(|g, x| {
        g.conv("lost", x, Conv::new(8, Window::new(3)))?;
        Ok(g.dense("head", x, 2, Init::he(1)))
    });
    assert_eq!(unread, "lost: nothing reads the result of this layer");
    let twice = error(|g, x| {
        let y = g.batch_norm("norm", x);
        Ok(g.batch_norm("norm", y))
    });
    assert!(twice.starts_with("norm.scale: two layers"), "{twice}");
    assert!(error(|g, _| g.concat("join", &[])).starts_with("join: "));
    assert!(error(|g, x| g.upsample("up", x, 0, Interpolation::Nearest)).starts_with("up: "));
    assert_eq!(error(|g, x| Ok(g.dense("head", x, 0, Init::he(1)))), "head: this layer has no values");
}

#[test]
fn layers_over_sequences_have_shapes_and_weights_too() {
    let mut g = GraphBuilder::new();
    let tokens = g.input("tokens", Shape::Tokens);
    let x = g.embedding("embedding", tokens, 30, 8, 0.0).unwrap();
    let x = g.positions("positions", x, 20).unwrap();
    let y = g.layer_norm("norm", x).unwrap();
    let y = g.dense("all", y, 24, Init::he(1));
    let y = g.attention("attention", y, 2).unwrap();
    let x = g.add("sum", x, y).unwrap();
    let x = g.lstm("states", x, 5, true, 0.0).unwrap();
    let x = g.pool_rows("pool", x, Pooling::Attention).unwrap();
    let x = g.dense("head", x, 1, Init::he(1));
    let x = g.binary_logits("logits", x).unwrap();
    let graph = g.finish(x).unwrap();
    let want = [
        "tokens",
        "rows of 8 values",
        "rows of 8 values",
        "rows of 8 values",
        "rows of 24 values",
        "rows of 8 values",
        "rows of 8 values",
        "rows of 5 values",
        "5 values",
        "1 values",
        "2 values",
    ];
    assert_eq!(shapes(&graph), want);
    let all = (0..graph.nodes().len()).flat_map(|place| graph.parameters(NodeId(place)));
    let all: Vec<_> = all.map(|value| format!("{} {:?}", value.name, value.shape)).collect();
    let want = [
        "embedding.weight [30, 8]",
        "positions.weight [20, 8]",
        "norm.weight [8]",
        "norm.bias [8]",
        "all.weight [24, 8]",
        "all.bias [24]",
        "states.input.weight [20, 8]",
        "states.input.bias [20]",
        "states.recurrent [20, 5]",
        "pool.weight [1, 5]",
        "pool.bias [1]",
        "head.weight [1, 5]",
        "head.bias [1]",
    ];
    assert_eq!(all, want);
}

#[test]
fn layers_over_sequences_refuse_what_is_none() {
    let error = |layers: fn(&mut GraphBuilder, NodeId, NodeId) -> Result<NodeId>| {
        let mut g = GraphBuilder::new();
        let tokens = g.input("tokens", Shape::Tokens);
        let x = g.embedding("embedding", tokens, 30, 8, 0.0).unwrap();
        layers(&mut g, tokens, x).and_then(|x| g.finish(x)).unwrap_err().to_string()
    };
    let heads = error(|g, _, x| g.attention("attention", x, 2));
    assert_eq!(heads, "attention: 8 columns do not fall into 3 x 2 parts");
    let rows = error(|g, tokens, _| g.layer_norm("norm", tokens));
    assert_eq!(rows, "norm: tokens are not rows, one a token");
    let tokens = error(|g, _, x| g.embedding("again", x, 30, 8, 0.0));
    assert_eq!(tokens, "again: rows of 8 values are no tokens");
    let image = error(|g, _, x| Ok(g.flatten(x)));
    assert_eq!(image, "flatten: rows of 8 values are not an image or a vector");
    let logits = error(|g, _, x| {
        let x = g.pool_rows("pool", x, Pooling::Mean)?;
        g.binary_logits("logits", x)
    });
    assert_eq!(logits, "logits: 8 values are not one logit");
}
